"""Windows through the engine, as many at once as it was built for; an answer each, in order."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from typing import Generic, TypeVar

import numpy as np

from runtime.engine import Engine, Pair, Prediction
from runtime.errors import BackendError

Item = TypeVar("Item")

Answer = Prediction | BackendError | None
"""The maps, [H,W] each; why there are none; None where no pair was given."""

LONGEST = 256
"""Items in a group: where few of them have a pair, those that have none are not kept for long."""


@dataclass
class _Group(Generic[Item]):
    """Items in order, and the pairs of those that have one: a batch."""

    items: list[tuple[Item, bool]] = field(default_factory=list)
    pairs: list[Pair] = field(default_factory=list)

    def answered(self, answers: Iterable[Answer]) -> Iterator[tuple[Item, Answer]]:
        each = iter(answers)
        return ((item, next(each) if has_pair else None) for item, has_pair in self.items)


def predict_each(
    engine: Engine, items: Iterable[tuple[Item, Pair | None]]
) -> Iterator[tuple[Item, Answer]]:
    """The items, each with the answer to its pair.

    Batches have the size that the engine was built for, its `opt`; the last is smaller, and
    filled up with copies where the engine takes no smaller one. Where a batch fails, its pairs
    are tried one by one, so that a failure is of one pair.

    Raises what `Engine.predict_many` does, but BackendError.
    """
    batch = engine.manifest.input.batch
    groups = _groups(items, batch.opt)
    waiting: deque[_Group[Item]] = deque()

    def batches() -> Iterator[Pair]:
        """Up to a group without pairs, which can be answered when those before it are."""
        for group in tuple(waiting):
            if not group.pairs:
                return
            yield _stacked(group.pairs, batch.min)
        for group in groups:
            waiting.append(group)
            if not group.pairs:
                return
            yield _stacked(group.pairs, batch.min)

    while True:
        failure = None
        with closing(engine.predict_many(batches())) as results:
            try:
                for maps in results:
                    group = waiting.popleft()
                    yield from group.answered(_parts(maps, len(group.pairs)))
            except BackendError as error:
                if not waiting:
                    raise
                failure = error
        if not waiting:
            return
        group = waiting.popleft()
        # With more under way it need not be this one that failed.
        sure = len(group.pairs) == 1 and not any(each.pairs for each in waiting)
        yield from group.answered([failure] if sure else _one_by_one(engine, group.pairs))


def _groups(items: Iterable[tuple[Item, Pair | None]], size: int) -> Iterator[_Group[Item]]:
    group: _Group[Item] = _Group()
    for item, pair in items:
        group.items.append((item, pair is not None))
        if pair is not None:
            group.pairs.append(pair)
        if len(group.pairs) == size or len(group.items) == LONGEST:
            yield group
            group = _Group()
    if group.items:
        yield group


def _stacked(pairs: list[Pair], least: int) -> Pair:
    if len(pairs) == 1:
        return pairs[0]
    copies = [pairs[-1]] * (least - len(pairs))
    pre, post = (np.stack(images) for images in zip(*pairs, *copies, strict=True))
    return pre, post


def _parts(maps: Prediction, count: int) -> Iterator[Prediction]:
    if maps.damage.ndim == 2:
        yield maps
        return
    for i in range(count):
        yield Prediction(maps.damage[i], maps.building[i], maps.confidence[i])


def _one_by_one(engine: Engine, pairs: Iterable[Pair]) -> Iterator[Answer]:
    for pair in pairs:
        try:
            yield engine.predict(*pair)
        except BackendError as error:
            yield error
