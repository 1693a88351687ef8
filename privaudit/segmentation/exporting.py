"""Writing the server's network in forms that run without this code: ONNX in a model folder, and a MONAI Bundle.

Each is tried before it is kept: it must give the maps that the network gives.
"""

from __future__ import annotations

import copy
import json
import shutil
import tempfile
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, Literal

import numpy as np
import torch
from torch import Tensor, nn

from privaudit._version import __version__
from privaudit.errors import OptionError, PrivauditError
from privaudit.files import check_own, claim, writing
from privaudit.segmentation.agreeing import TOLERANCE, Agreement, Maps, agreement, probe_patches
from privaudit.segmentation.server import Server
from privaudit.segmentation.server_net import FEATURES
from privaudit.segmentation.weights import Weights
from privaudit.wire.messages import INPUT, MODEL, OUTPUT

Format = Literal["onnx", "monai-bundle"]
WRITTEN: Final = frozenset({
    ".privaudit-export", f"{MODEL}/config.pbtxt", f"{MODEL}/1/model.onnx", "configs/metadata.json",
    "configs/inference.json", "models/model.pt", "docs/README.md",
})  # fmt: skip
"""Files of an export of either form."""


class _WithSoftmax(nn.Module):
    """Patches [N, 1, X, Y, Z] to probabilities [N, C, X, Y, Z]."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, patches: Tensor) -> Tensor:
        """Probabilities."""
        maps: Tensor = self.network(patches).softmax(dim=1)
        return maps


def export(weights: Weights, folder: Path, form: Format) -> Agreement:
    """Write the segmentation network of trained weights; the folder is whole, or as it was.

    Args:
        weights: of which no other network is written.
        folder: new or empty, or one that this made.
        form: 'onnx' for a model folder of Triton or KServe, or 'monai-bundle'.

    Raises:
        OptionError: the folder holds something else; who runs a bundle has patches and maps there.
        PrivauditError: what was written, the network and ``privaudit serve`` do not give the same maps.
    """
    check_own(folder, "export", lambda _: False)
    _refuse_others(folder)
    side = weights.config.patch_size
    probes = probe_patches(side)
    network = copy.deepcopy(weights.networks.segmentation).eval().to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]
    write, run = (_write_onnx, _run_onnx) if form == "onnx" else (_write_bundle, _run_bundle)
    with writing(folder), tempfile.TemporaryDirectory(dir=folder.absolute().parent) as temporary:
        made = Path(temporary) / "made"
        write(made, weights, network, probes)
        with torch.inference_mode():
            truth = network(probes).softmax(dim=1).numpy()
        maps = run(made)(probes.numpy())
        # Last: the server turns the network into its own memory layout.
        served = Server(network, side, torch.device("cpu"), steady=True).respond(probes[:, 0]).numpy()
        found = agreement((truth, maps, served), probes[:, 0].numpy())
        if found.difference > TOLERANCE or found.dice:
            raise PrivauditError(
                "exported network, trained network and server do not give the same maps",
                got=f"maps that differ by {found.difference:.1e}, Dice by {found.dice:.1e}",
                allowed=f"{TOLERANCE:g} and 0",
            )
        claim(made, "export")
        if folder.exists():
            shutil.rmtree(folder)
        made.rename(folder)
    return found


def _refuse_others(folder: Path) -> None:
    """An earlier export is replaced whole: what somebody has put beside it must not go with it."""
    files = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if not path.is_dir()}
    if others := sorted(files - WRITTEN):
        raise OptionError(
            f"{folder} holds files that no export has written, and that would be lost", got=", ".join(others[:3]),
            todo="move them, or choose another folder with --out",
        )  # fmt: skip


def _write_onnx(folder: Path, weights: Weights, network: nn.Module, sample: Tensor) -> None:
    (folder / MODEL / "1").mkdir(parents=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the exporter warns of shapes that are fixed here, and of its successor
        torch.onnx.export(
            _WithSoftmax(network), (sample,), str(folder / MODEL / "1" / "model.onnx"), input_names=[INPUT],
            output_names=[OUTPUT], dynamic_axes={INPUT: {0: "n"}, OUTPUT: {0: "n"}}, opset_version=17, dynamo=False,
        )  # fmt: skip
    (folder / MODEL / "config.pbtxt").write_text(_triton_config(weights), encoding="utf-8")


def _triton_config(weights: Weights) -> str:
    side, classes = weights.config.patch_size, weights.config.network.classes
    return f"""name: "{MODEL}"
backend: "onnxruntime"
max_batch_size: 64
input [ {{ name: "{INPUT}", data_type: TYPE_FP32, dims: [ 1, {side}, {side}, {side} ] }} ]
output [ {{ name: "{OUTPUT}", data_type: TYPE_FP32, dims: [ {classes}, {side}, {side}, {side} ] }} ]
dynamic_batching {{ max_queue_delay_microseconds: 2000 }}
"""


def _run_onnx(folder: Path) -> Callable[[Maps], Maps]:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    path = str(folder / MODEL / "1" / "model.onnx")
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    return lambda patches: np.asarray(session.run([OUTPUT], {INPUT: patches})[0])


def _write_bundle(folder: Path, weights: Weights, network: nn.Module, sample: Tensor) -> None:
    for name in ("configs", "models", "docs"):
        (folder / name).mkdir(parents=True)
    own: Any = network.net  # MONAI's network, under this code's name
    torch.save(own.state_dict(), folder / "models" / "model.pt")
    for name, data in (("metadata", _metadata(weights)), ("inference", _inference(weights))):
        (folder / "configs" / f"{name}.json").write_text(json.dumps(data, indent=1) + "\n", encoding="utf-8")
    (folder / "docs" / "README.md").write_text(
        f"The server's network of `{weights.name}`. It segments encoded patches: `python -m monai.bundle run"
        " --config_file configs/inference.json --bundle_root .`. Not for clinical use.\n",
        encoding="utf-8",
    )


def _metadata(weights: Weights) -> dict[str, Any]:
    import monai

    config, side = weights.config, weights.config.patch_size
    shared = {
        "type": "image",
        "num_channels": 1,
        "spatial_shape": [side] * 3,
        "dtype": "float32",
        "is_patch_data": True,
    }
    return {
        "version": "1.0.0", "changelog": {"1.0.0": f"exported by privaudit {__version__}"},
        "monai_version": monai.__version__, "pytorch_version": torch.__version__, "numpy_version": np.__version__,
        "required_packages_version": {}, "task": "segmentation of encoded patches",
        "description": f"server network of {weights.name}, trained for the defense {config.defense['name']}",
        "authors": "privaudit", "copyright": "", "intended_use": "research; not for clinical use",
        "network_data_format": {
            "inputs": {
                "image": {**shared, "format": "magnitude", "value_range": [0, 1], "channel_def": {"0": "image"}}
            },
            "outputs": {
                "pred": {
                    **shared, "format": "probability", "num_channels": config.network.classes, "value_range": [0, 1],
                    "channel_def": {str(value): name for value, name in config.labels.items()},
                }
            },
        },
    }  # fmt: skip


def _inference(weights: Weights) -> dict[str, Any]:
    """MONAI's own words alone: nothing of this code is needed to run it."""
    return {
        "imports": ["$import glob", "$import numpy", "$import torch"],
        "bundle_root": ".", "dataset_dir": "$@bundle_root + '/patches'", "output_dir": "$@bundle_root + '/maps'",
        "device": "$torch.device('cuda' if torch.cuda.is_available() else 'cpu')",
        "network_def": {
            "_target_": "BasicUNetPlusPlus", "spatial_dims": 3, "in_channels": 1,
            "out_channels": weights.config.network.classes, "features": list(FEATURES[weights.config.network.size]),
            "norm": ["group", {"num_groups": 4}],
        },
        "weights": "$torch.load(@bundle_root + '/models/model.pt', map_location='cpu', weights_only=True)",
        "network": "$(@network_def.load_state_dict(@weights), @network_def.eval().to(@device))[1]",
        "predict": "$torch.inference_mode()(lambda patches: torch.softmax(@network(patches.to(@device))[0], 1).cpu())",
        "files": "$sorted(glob.glob(@dataset_dir + '/*.npy'))",
        "run": [
            "$[numpy.save(f.replace(@dataset_dir, @output_dir), @predict(torch.from_numpy(numpy.load(f))).numpy())"
            " for f in @files]"
        ],
    }  # fmt: skip


def _run_bundle(folder: Path) -> Callable[[Maps], Maps]:
    from monai.bundle.config_parser import ConfigParser

    parser = ConfigParser()
    parser.read_config(str(folder / "configs" / "inference.json"))
    parser["bundle_root"] = str(folder)
    predict = parser.get_parsed_content("predict")
    return lambda patches: np.asarray(predict(torch.from_numpy(patches)))
