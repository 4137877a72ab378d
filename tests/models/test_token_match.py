"""The head of the light reranker: which tokens are compared, that padding does not count, that it is saved whole."""

from __future__ import annotations

from pathlib import Path

import torch
from torch.nn.functional import cosine_similarity

from pagetune.models.own_modules import TOKEN_MATCH, load_modules, names_own
from pagetune.models.token_match import EVEN, SCALE, TokenMatch

START, END = 101, 102


def features(*pairs: tuple[list[int], list[int]], seed: int = 0, room: int = 0) -> dict[str, torch.Tensor]:
    """Pairs of texts of token ids, padded; a token's vector depends on its id and its pair alone."""
    rows = [[START, *first, END, *second, END] for first, second in pairs]
    longest = max(map(len, rows)) + room
    ids = torch.tensor([row + [0] * (longest - len(row)) for row in rows])
    vectors = torch.randn(200, 8, generator=torch.Generator().manual_seed(seed))
    return {"input_ids": ids, "attention_mask": (ids > 0).long(), "token_embeddings": vectors[ids]}


def by_hand(asked: list[int], read: list[int], seed: int = 0) -> float:
    vectors = torch.randn(200, 8, generator=torch.Generator().manual_seed(seed))
    near = [max(float(cosine_similarity(vectors[one], vectors[other], dim=0)) for other in read) for one in asked]
    return SCALE * (sum(near) / len(near) - EVEN)


def test_each_token_of_the_shorter_side_finds_the_nearest_of_the_longer() -> None:
    match = TokenMatch(8, END)
    long, short = [7, 8, 9, 10, 11], [12, 8, 13]
    scores = match(features((short, long), (long, short), ([5], [5, 6])))["scores"]
    assert scores.shape == (3, 1)
    wanted = [by_hand(short, long), by_hand(short, long), SCALE * (1 - EVEN)]
    torch.testing.assert_close(scores[:, 0], torch.tensor(wanted), atol=1e-4, rtol=0)


def test_padding_does_not_count_and_an_empty_side_is_no_fault() -> None:
    match = TokenMatch(8, END)
    tight, wide = (match(features(([7, 8], [9, 10, 11]), room=room))["scores"] for room in (0, 6))
    torch.testing.assert_close(tight, wide)
    for room in (0, 6):
        empty = match(features(([7, 8], []), ([], []), room=room))["scores"]
        torch.testing.assert_close(empty, torch.full((2, 1), -SCALE * EVEN), msg="a page without words matches nothing")


def test_everything_in_it_is_learned() -> None:
    match = TokenMatch(8, END)
    match(features(([7, 8], [9, 10, 11]), ([7], [12, 13])))["scores"].sum().backward()
    assert all(weight.grad is not None and weight.grad.abs().sum() > 0 for weight in match.parameters()), {
        name: weight.grad for name, weight in match.named_parameters()
    }
    with torch.no_grad():
        match.weight.weight.copy_(features(([7], [8]))["token_embeddings"][0, 1] * 9)
    # Nearly all weight is on the token 7.
    leaned = float(match(features(([7, 8], [9, 10, 11])))["scores"].detach())
    assert abs(leaned - by_hand([7], [9, 10, 11])) < abs(leaned - by_hand([8], [9, 10, 11]))


def test_it_is_saved_and_loaded_by_its_name(tmp_path: Path) -> None:
    match = TokenMatch(8, END)
    with torch.no_grad():
        for weight in match.parameters():
            weight.add_(torch.randn_like(weight))
    (tmp_path / "1").mkdir()
    match.save(str(tmp_path / "1"))
    modules = [{"type": TOKEN_MATCH, "path": "1"}]
    assert names_own(modules)
    [again] = load_modules(tmp_path, modules)
    given = features(([7, 8], [9, 10, 11]))
    torch.testing.assert_close(again(dict(given))["scores"], match(dict(given))["scores"])
