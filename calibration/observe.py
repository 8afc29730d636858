"""One pass of the network over chosen tiles, every quantised tensor watched."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import fx

from calibration.observers import METHODS, MinMaxObserver
from train.gpu_memory import room_for
from train.model.config import ModelConfig
from train.model.dual_hrnet import normalise
from train.quantisation.placement import sites
from train.xbd import Tile


class _Watch(fx.Interpreter):
    """Runs the graph and shows each site's tensor to its observer.

    A tensor goes when its last reader has run, so that the peak is that of a forward pass.
    """

    def __init__(self, graph: fx.GraphModule, observers: dict[fx.Node, MinMaxObserver]) -> None:
        super().__init__(graph, garbage_collect_values=True)
        self.observers = observers

    def run_node(self, node: fx.Node) -> torch.Tensor:
        value = super().run_node(node)
        if node in self.observers:
            self.observers[node].update(value)
        return value


@torch.inference_mode()
def observe(
    graph: fx.GraphModule, config: ModelConfig, tiles: Iterable[Tile], method: str
) -> dict[str, MinMaxObserver]:
    """Observers by site name, after every tile has passed once.

    Args:
        graph: an `inference_form`, on the device to calibrate on; its weights become
            channels-last.
        config: says how images are normalised.
    """
    placed = sites(graph)
    # Sites of one name share one observer, whose range covers them all.
    observers = {site.name: METHODS[method]() for site in placed}
    watch = _Watch(graph, {site.producer: observers[site.name] for site in placed})
    device = next(graph.parameters()).device
    graph.to(memory_format=torch.channels_last)  # convolutions are faster then
    for tile in tiles:
        pair = tile.images()
        height, width = pair[0].shape[:2]
        with room_for(f"a tile of {height}x{width}", "calibrate on the processor (--device cpu)"):
            images = [torch.from_numpy(image)[None].to(device) for image in pair]
            normalised = [normalise(image, config) for image in images]
            watch.run(*[each.contiguous(memory_format=torch.channels_last) for each in normalised])
    return observers
