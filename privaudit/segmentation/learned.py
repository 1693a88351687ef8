"""Defenses whose client runs a trained network: the base of Privacy-Net and of Deformation-Proxy."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path

from pydantic import Field
from torch import nn

from privaudit.contracts.cohort import Cohort
from privaudit.contracts.defense import Defense
from privaudit.contracts.options import PluginOptions
from privaudit.errors import OptionError
from privaudit.segmentation.weights import Weights, find_shipped, how_to_train, load_weights, require_fit, why_unfit


class LearnedOptions(PluginOptions):
    """Which weights."""

    weights: str = Field(
        default="auto", description="trained weights: a folder, or shipped ones by name; 'auto': shipped ones that fit"
    )


class LearnedDefense(Defense):
    """A scheme that 'privaudit train' makes; its weights hold the client's network and the server's."""

    options: LearnedOptions

    def fitted(self, cohort: Cohort, victims: Sequence[str]) -> Defense:
        """The same with weights that fit; options that shape the training must be those of the training."""
        if self.options.weights == "auto":
            found = find_shipped(self.name, cohort, None)
            if found is None:
                raise OptionError(
                    f"no shipped weights of '{self.name}' fit this cohort: {why_unfit(self.name, cohort, None)}",
                    todo=how_to_train(cohort, self.name, f"--{self.name}.weights"),
                )
        else:
            found = load_weights(Path(self.options.weights))
        require_fit(found, cohort, self.name, None, victims)
        if found.networks.client is None:
            raise OptionError(f"the weights '{found.name}' were trained for no encoding, and hold no client's network")
        trained = {name: found.config.defense.get(name, value) for name, value in self.params.items()}
        for name in self.options.model_fields_set - {"weights"}:
            if trained[name] != self.params[name]:
                raise OptionError(
                    f"the weights '{found.name}' were trained with another {name}", got=self.params[name],
                    allowed=trained[name], todo="give that or nothing, or train again",
                )  # fmt: skip
        trained["weights"] = found.name if self.options.weights == "auto" else self.options.weights
        made = type(self)(type(self.options).model_validate(trained))
        made._weights = _ready(found)  # what was checked is what is used
        return made

    @cached_property
    def _weights(self) -> Weights:
        if self.options.weights == "auto":
            raise OptionError(
                f"'{self.name}' encodes only after it was told which weights to use",
                todo=f"give --{self.name}.weights, or shipped ones by name",
            )
        return _ready(load_weights(Path(self.options.weights)))

    @property
    def trained(self) -> Weights | None:
        """Its weights."""
        return self._weights

    @property
    def network(self) -> nn.Module:
        """The client's network."""
        network = self._weights.networks.client
        if network is None:
            raise OptionError(f"the weights '{self._weights.name}' hold no client's network")
        return network


def _ready(weights: Weights) -> Weights:
    weights.networks.eval().requires_grad_(False)
    return weights
