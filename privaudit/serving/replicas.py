"""The same application under Ray Serve, for more than one machine can compute: several replicas behind one address.

``serve run privaudit.serving.replicas:app weights=W`` starts it (extra ``ray``). Ray's proxy knows no client
certificates: it belongs behind one that has TLS. A replica has bounds and counts of its own.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Final

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from privaudit.errors import OptionError
from privaudit.validation import in_words
from privaudit.wire.messages import MODEL

AT_ONCE, QUEUED = 64, 256
"""Requests that one replica has at a time, and that wait at Ray's proxy; more are told to come again (503)."""
QUIET: Final = {"enable_access_log": False}


class Arguments(BaseModel):
    """What may be said behind the name of the application, as ``name=value``.

    Attributes:
        weights: a folder, or shipped weights by name; each machine must have them.
        model: name of the model in the protocol.
        replicas: how many there are at least.
        most: how many Ray may start when many requests wait; None for no more.
        threads: processor cores of each.
        device: auto, cpu or cuda.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)
    weights: str
    model: str = MODEL
    replicas: Annotated[int, Field(ge=1)] = 2
    most: Annotated[int, Field(ge=1)] | None = None
    threads: Annotated[int, Field(ge=1)] = 1
    device: str = "auto"

    @model_validator(mode="after")
    def _no_fewer(self) -> Arguments:
        if self.most is not None and self.most < self.replicas:
            raise ValueError(
                f"most is {self.most}, and replicas is {self.replicas}; ask for at least as many as replicas"
            )
        return self


def app(given: Arguments | dict[str, Any]) -> Any:
    """The application for Ray Serve; each replica reads the network by itself.

    Args:
        given: arguments; ``serve run`` gives what was written behind the name of the application, as text.

    Raises:
        OptionError: arguments that cannot be used.
        ImportError: Ray is not installed.
    """
    try:
        given = Arguments.model_validate(given)
    except ValidationError as error:
        raise OptionError(
            f"these replicas cannot be started: {in_words(error, Arguments)}", allowed=", ".join(Arguments.model_fields)
        ) from None
    from ray import serve

    def build() -> Any:
        import torch

        from privaudit.devices import choose_device
        from privaudit.serving.app import Service, make_app
        from privaudit.serving.engine import load_engine

        torch.set_num_threads(given.threads)
        return make_app(Service(load_engine(Path(given.weights), choose_device(given.device)), given.model))

    scale: dict[str, Any] = {"num_replicas": given.replicas}
    if given.most is not None:
        scale = {"autoscaling_config": {"min_replicas": given.replicas, "max_replicas": given.most}}
    decorate = serve.deployment(
        name="segmentation", max_ongoing_requests=AT_ONCE, max_queued_requests=QUEUED, logging_config=QUIET,
        ray_actor_options={"num_cpus": given.threads}, **scale,
    )  # fmt: skip
    return decorate(serve.ingress(build)()).bind()
