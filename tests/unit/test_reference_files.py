from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from monitor.baseline import Input, build_references
from monitor.config import load_settings
from monitor.errors import BaselineError
from monitor.reference_files import AT_ONCE, file_name, read_reference, read_references, write_reference
from monitor.references import to_text

if TYPE_CHECKING:
    from collections.abc import Sequence

    from monitor.references import Reference


NOON_S = 1_780_000_000


def made(*models: tuple[str, str]) -> Sequence[Reference]:
    """Give a reference of each model and version."""
    lines = [
        json.dumps({"event_time": NOON_S + n, "model": m, "model_version": v, "features": {"x": n}}).encode()
        for n in range(50)
        for m, v in models
    ]
    settings = load_settings(None, {}, topics_required=False)
    return build_references(settings, Input("a test", lambda _: iter([lines]))).references


class TestNames:
    @pytest.mark.parametrize(
        ("model", "version", "name"),
        [("fraud", "", "fraud"), ("fraud", "2026.1", "fraud@2026.1"), ("team_a.fraud-2", "v1", "team_a.fraud-2@v1")],
    )
    def test_name_is_model_and_version_where_it_can_be(self, model: str, version: str, name: str) -> None:
        assert f"{name}.reference.json" == file_name(model, version)

    def test_name_that_has_to_be_changed_ends_in_a_hash(self) -> None:
        assert re.fullmatch(r"team-fraud@1-[0-9a-f]{8}\.reference\.json", file_name("team/fraud", "1"))

    @pytest.mark.parametrize(
        "name",
        ["../../etc/passwd", "/", "..", "", "a/b", "a\\b", "a\x00b", "Ünïcode", "x" * 500, "-rf", ".hidden", "a b"],
    )
    def test_name_from_an_event_stays_one_file_in_the_folder(self, name: str, tmp_path: Path) -> None:
        found = file_name(name, "1")

        assert Path(found).name == found
        assert found.isascii()
        assert len(found) < 130
        assert not found.startswith((".", "-"))
        assert (tmp_path / found).parent == tmp_path

    def test_different_models_never_share_a_file(self) -> None:
        models = ["a@b", "a/b", "a b", "a-b", "a", "a|b", "a@b@c", "@", "@b"]
        awkward = [*((model, "") for model in models), ("a", "b"), ("a", "b@c"), ("a@b", "c"), ("", "b"), ("a", "|b")]

        assert len(awkward) == len({file_name(*each) for each in awkward})


class TestReadingBack:
    def test_what_was_written_is_read_back_the_same(self, tmp_path: Path) -> None:
        (reference,) = made(("fraud", "1"))

        path = write_reference(tmp_path / "new" / "folder", reference)

        assert reference.identity == read_reference(path).identity
        assert ("fraud", "1", 50) == (read_reference(path).model, read_reference(path).model_version, reference.events)
        assert [path] == list(path.parent.iterdir())  # nothing half-written is left beside it

    def test_writing_again_replaces_the_file(self, tmp_path: Path) -> None:
        (reference,) = made(("fraud", "1"))

        assert write_reference(tmp_path, reference) == write_reference(tmp_path, reference)
        assert 1 == len(read_references(tmp_path))

    def test_folder_that_is_not_there_holds_none(self, tmp_path: Path) -> None:
        assert [] == read_references(tmp_path / "no-such")

    def test_other_files_in_the_folder_are_left_alone(self, tmp_path: Path) -> None:
        (tmp_path / "README.md").write_text("hello")
        write_reference(tmp_path, made(("fraud", "1"))[0])

        assert ["fraud"] == [each.model for each in read_references(tmp_path)]

    def test_many_are_read_as_each_alone(self, tmp_path: Path) -> None:
        models = [(f"model {n}", "1") for n in range(AT_ONCE + 3)]
        paths = [write_reference(tmp_path, reference) for reference in made(*models)]

        assert [to_text(read_reference(path)) for path in sorted(paths)] == list(
            map(to_text, read_references(tmp_path))
        )


class TestRefusals:
    @pytest.mark.parametrize(
        ("content", "said"),
        [
            (b"", ""),
            (b"{", ""),
            (b"[]", ""),
            (b"{}", ""),
            (b"\xff\xfe", "not UTF-8 text"),
            (b'{"format": "other/9"}', ""),
        ],
        ids=["empty", "cut", "a list", "an empty object", "binary", "another format"],
    )
    def test_file_that_is_no_reference_is_named(self, content: bytes, said: str, tmp_path: Path) -> None:
        path = tmp_path / "bad.reference.json"
        path.write_bytes(content)

        with pytest.raises(BaselineError) as caught:
            read_references(tmp_path)

        assert str(caught.value).startswith(f"{path}: ")
        assert said in str(caught.value)
        assert "\n" not in str(caught.value)

        for reference in made(("a", "1"), ("fraud", "1")):  # also among good ones, before and after it
            write_reference(tmp_path, reference)
        with pytest.raises(BaselineError) as among:
            read_references(tmp_path)
        assert str(caught.value) == str(among.value)

    def test_file_changed_by_hand_is_refused(self, tmp_path: Path) -> None:
        path = write_reference(tmp_path, made(("fraud", "1"))[0])
        path.write_text(path.read_text().replace('"model": "fraud"', '"model": "other"').replace("50", "51"))

        with pytest.raises(BaselineError, match=r"reference\.json: "):
            read_reference(path)

    def test_two_references_of_one_model_are_refused_with_both_names(self, tmp_path: Path) -> None:
        path = write_reference(tmp_path, made(("fraud", "1"))[0])
        (tmp_path / "copy.reference.json").write_bytes(path.read_bytes())

        with pytest.raises(BaselineError, match=r"a second reference of model 'fraud' version '1'.*remove one"):
            read_references(tmp_path)

    def test_missing_file_is_said_to_be_missing(self, tmp_path: Path) -> None:
        with pytest.raises(BaselineError, match=r"can't be read: No such file"):
            read_reference(tmp_path / "no-such.reference.json")

    def test_folder_that_can_not_be_made_is_named(self, tmp_path: Path) -> None:
        (tmp_path / "file").touch()

        with pytest.raises(BaselineError, match=r"fraud@1\.reference\.json: can't be written: "):
            write_reference(tmp_path / "file", made(("fraud", "1"))[0])
