"""The commands for own photos: ``learn``, ``embed``, ``tag``, ``find``, ``calibrate``."""

from __future__ import annotations

import argparse
import sys
from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING

from comc_utils.errors import CoMCError
from comc_utils.tagging.engine.commands import check_engine, engine_arguments, run_engine

if TYPE_CHECKING:
    from comc_utils.tagging.embeddings import PhotoEmbeddings
    from comc_utils.tagging.engine.work import Job
    from comc_utils.tagging.exports import Tagged
    from comc_utils.tagging.photos import Photos
    from comc_utils.tagging.tagger import Tagger
    from comc_utils.tagging.thresholds import Threshold

_MODEL = "ViT-B-16-quickgelu, OpenAI's, fetched once: 599 MB"


def _photo_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("photos", nargs="*", metavar="PHOTOS", help="folders, photos or patterns in quotes")
    parser.add_argument("--list", type=Path, metavar="FILE", help="text file with photos, a path a line")
    parser.add_argument("--limit", type=int, metavar="N", help="a trial on the first N photos")
    parser.add_argument(
        "--skip-unreadable", action="store_true", help="leave out photos that do not open, and name them"
    )


def model_arguments(parser: argparse.ArgumentParser, default: str = _MODEL) -> None:
    """Add the options that choose a CLIP model, with what is said of the default one."""
    help = f"open_clip's name of the CLIP model (default: {default})"
    parser.add_argument("--model", metavar="NAME", help=help)
    parser.add_argument("--weights", metavar="TAG|FILE", help="of the model: a tag of open_clip's, or a file")
    parser.add_argument("--tag", help="open_clip's, of weights in a file that does not say how it was trained")
    parser.add_argument("--device", help="cpu, cuda, ... (default: a GPU where there is one)")


def _learning_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--method", choices=("zero-shot", "comc"), help="(default: zero-shot)")
    parser.add_argument("--templates", type=Path, metavar="FILE", help="prompts, one a line, {} for the label")
    parser.add_argument(
        "--background", choices=("common", "none"), help="what scores are taken against (default: common)"
    )
    parser.add_argument("--corpus", type=Path, metavar="FILE", help="sentences for comc (see write-sentences)")
    parser.add_argument("--sentences", type=int, metavar="N", help="of the grammar, a label, for comc")


def learn_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of ``learn``."""
    parser.add_argument(
        "--labels", required=True, metavar="FILE|WORDS", help="text file, a label a line; or a,b,c"
    )
    parser.add_argument("--to", type=Path, required=True, metavar="DIR", help="folder of the tagger")
    _learning_arguments(parser)
    model_arguments(parser)
    parser.add_argument(
        "--auto-on", nargs="+", metavar="PHOTOS", help="choose the threshold on these photos, without labels"
    )
    parser.add_argument("--skip-unreadable", action="store_true", help="of these photos")


def learn(arguments: argparse.Namespace) -> int:
    """Learn a tagger and write it."""
    from comc_utils.tagging.photos import gather_photos

    tagger = _learn(arguments)
    if arguments.auto_on:
        photos = _embed(gather_photos(arguments.auto_on), tagger, arguments)
        tagger = tagger.choose_threshold(photos, ", ".join(arguments.auto_on))
    replaced = " (in place of the one that was there)" if (arguments.to / "config.json").exists() else ""
    tagger.save(arguments.to)
    print(f"{len(tagger.labels):,} labels; a tag from {tagger.threshold} on ({tagger.threshold.origin})")
    print(f"Tagger: {arguments.to}{replaced}")
    return 0


def embed_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of ``embed``."""
    _photo_arguments(parser)
    parser.add_argument("--to", type=Path, metavar="DIR", help="with --engine: folder of the embeddings")
    model_arguments(parser)
    engine_arguments(parser, ("global", "regions", "regions-int8"), "regions, where the model looks at them")


def embed(arguments: argparse.Namespace) -> int:
    """Embed the photos that are not embedded yet."""
    if check_engine(arguments):
        return run_engine(arguments, lambda: _embedding(arguments))
    if arguments.to is not None:
        raise CoMCError("--to is for work in shards (--engine); without it embeddings go to the user's cache.")
    photos = _gathered(arguments)
    _tell_of_model(arguments)
    found = _embed_with(arguments, photos)
    _tell_of_photos(found)
    print("Embedded; tagging and searching with this model open no photo again.")
    return 0


def tag_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of ``tag``."""
    _photo_arguments(parser)
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--labels", metavar="FILE|WORDS", help="text file, a label a line; or a,b,c")
    what.add_argument("--tagger", type=Path, metavar="DIR", help="folder that learn has written")
    what.add_argument("--remove", action="store_true", help="take our tags out of the sidecars, and no others")
    parser.add_argument("--to", type=Path, metavar="FILE", help="tags.csv, .json or .parquet (with the extra)")
    parser.add_argument("--gallery", type=Path, metavar="FILE", help="tags.html: a page to look at them")
    parser.add_argument("--sidecars", choices=("xmp", "txt"), help="write tags beside the photos")
    parser.add_argument(
        "--sidecar-names",
        choices=("auto", "full", "stem"),
        default="auto",
        help="photo.jpg.xmp (full) or photo.xmp (stem); default: the one that is there, or full",
    )
    parser.add_argument(
        "--prefix", default="", metavar="WORD", help="hierarchical keywords WORD|tag, too (xmp)"
    )
    parser.add_argument(
        "--threshold",
        default="auto",
        metavar="auto|all|VALUE|FILE",
        help="score from which a label is a tag; all: every label; a CSV file label,threshold (default: auto)",
    )
    parser.add_argument("--top-k", type=int, metavar="K", help="at most K tags a photo")
    parser.add_argument("--dry-run", action="store_true", help="say what would be written, and write nothing")
    _learning_arguments(parser)
    model_arguments(parser)
    engine_arguments(parser, ("tags", "scores"), "tags; scores: of every label, in half precision")


def tag(arguments: argparse.Namespace) -> int:
    """Tag photos."""
    if check_engine(arguments):
        return run_engine(arguments, lambda: _tagging(arguments))
    photos = _gathered(arguments)
    if arguments.prefix and arguments.sidecars != "xmp":
        raise CoMCError("--prefix is for keywords in XMP sidecars; say --sidecars xmp, or leave it out.")
    if arguments.remove:
        if not arguments.sidecars:
            raise CoMCError("--remove takes tags out of sidecars; say of which: --sidecars xmp or txt.")
        for name in ("to", "gallery"):
            if getattr(arguments, name):
                raise CoMCError(f"--remove writes no tags; leave --{name} out.")
        print(_write_sidecars(arguments, photos, [()] * len(photos)))
        return 0
    from comc_utils.store.atomic import make_writable  # after what can be said or done without
    from comc_utils.tagging.exports import Tagged, check_ending, write_tags
    from comc_utils.tagging.gallery.pages import check_gallery

    _need_labels(arguments)
    if arguments.to:
        check_ending(arguments.to)
    if arguments.gallery:
        check_gallery(arguments.gallery)
    for name in ("to", "gallery"):
        if getattr(arguments, name) and not arguments.dry_run:
            make_writable(getattr(arguments, name).absolute().parent, f"--{name}")
    tagger, least, choice = _tagger_and_choice(arguments)
    found = _embed(photos, tagger, arguments)
    _tell_of_photos(found)
    tags = tagger.tag(found, threshold=least, top_k=arguments.top_k)
    tagged = Tagged(found.photos.names, tags, tagger.about, choice, found.unreadable)
    print(tagged.summary())
    if arguments.to and not arguments.dry_run:
        write_tags(tagged, arguments.to)
        print(f"Tags: {arguments.to}")
    elif arguments.to:
        print(f"Would write {len(tagged.rows()):,} rows to {arguments.to}")
    if arguments.gallery:
        print(_write_gallery(arguments, tagger, found, tagged, least))
    if arguments.sidecars:
        print(_write_sidecars(arguments, found.photos, tagged.keywords))
    if not (arguments.to or arguments.gallery or arguments.sidecars):
        for file, of in zip(found.photos.names, tags, strict=True):
            print(
                f"{file}: " + (", ".join(f"{tag['label']} {tag['score']:.3f}" for tag in of) or "none of these")
            )
    return 0


def find_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of ``find``."""
    parser.add_argument("photos", nargs="+", metavar="PHOTOS", help="folders, photos or patterns, then ...")
    parser.add_argument("sentence", metavar="SENTENCE", help="what to look for, in quotes")
    parser.add_argument("--top", type=int, default=10, metavar="N", help="photos to show (default: 10)")
    parser.add_argument("--limit", type=int, metavar="N", help="a trial on the first N photos")
    parser.add_argument(
        "--skip-unreadable", action="store_true", help="leave out photos that do not open, and name them"
    )
    model_arguments(parser)


def find(arguments: argparse.Namespace) -> int:
    """Search photos by a sentence."""
    from comc_utils.tagging.labels import Label
    from comc_utils.tagging.photos import gather_photos
    from comc_utils.tagging.tagger import Tagger

    if arguments.top < 1:
        raise CoMCError(f"--top {arguments.top}: give 1 or more photos to show.")
    photos = gather_photos(arguments.photos, limit=arguments.limit)
    _tell_of_model(arguments)
    sentence = Label.of(f"sentence = {arguments.sentence}")
    tagger = Tagger.learn([sentence], templates=["{}"], **given(arguments, "model", "weights", "tag", "device"))
    found = _embed(photos, tagger, arguments)
    _tell_of_photos(found)
    scores = tagger.scores(found)[:, 0]
    for row in (-scores).argsort(kind="stable")[: arguments.top]:
        print(f"{scores[row]:.3f}  {found.photos.names[row]}")
    return 0


def calibrate_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of ``calibrate``."""
    parser.add_argument("tagger", type=Path, metavar="TAGGER", help="folder that learn has written")
    _photo_arguments(parser)
    parser.add_argument(
        "--answers", type=Path, required=True, metavar="FILE", help="CSV file file,label,answer (1 or 0)"
    )
    parser.add_argument(
        "--to", type=Path, metavar="DIR", help="another folder for the result (default: TAGGER)"
    )
    parser.add_argument("--weights", metavar="TAG|FILE", help="of the tagger's model, where they are a file")
    parser.add_argument("--tag", help="open_clip's, of weights in a file that does not say how it was trained")
    parser.add_argument("--device", help="cpu, cuda, ... (default: a GPU where there is one)")


def calibrate(arguments: argparse.Namespace) -> int:
    """Make a tagger's scores probabilities, by answers of the user."""
    from comc_utils.tagging.thresholds import read_answers

    tagger = _tagger(arguments)
    answers = read_answers(arguments.answers, tagger.labels)
    found = _embed(_gathered(arguments), tagger, arguments)
    tagger = tagger.calibrate(found, answers, arguments.answers.name)
    place = arguments.to or arguments.tagger
    tagger.save(place)
    print(f"{len(answers):,} answers; scores of {place} are probabilities now, tags from {tagger.threshold} on")
    return 0


def given(arguments: argparse.Namespace, *names: str) -> dict[str, object]:
    """Give the options among these names that were given."""
    return {name: getattr(arguments, name) for name in names if getattr(arguments, name) is not None}


def _learn(arguments: argparse.Namespace) -> Tagger:
    from comc_utils.tagging.labels import in_other_scripts
    from comc_utils.tagging.learning import read_templates
    from comc_utils.tagging.tagger import Tagger

    _tell_of_model(arguments)
    chosen = given(arguments, "model", "weights", "tag", "device", "method", "background", "corpus")
    if arguments.sentences is not None:
        chosen["n_sentences"] = arguments.sentences
    if arguments.templates is not None:
        chosen["templates"] = read_templates(arguments.templates)
    tagger = Tagger.learn(arguments.labels, **chosen, progress=True)
    if foreign := in_other_scripts(tagger.about.labels):
        print(
            f"note: {len(foreign):,} labels are in letters that English does not have, {foreign[0]} the first, "
            f"and most CLIP models read English alone; write {foreign[0]} = a phrase for it",
            file=sys.stderr,
        )
    return tagger


def _tagger(arguments: argparse.Namespace) -> Tagger:
    from comc_utils.tagging.tagger import Tagger

    if arguments.tagger is None:
        return _learn(arguments)
    of_learning = ("model", "method", "templates", "background", "corpus", "sentences")
    for name in of_learning:
        if getattr(arguments, name, None) is not None:
            raise CoMCError(
                f"--{name} is settled in the tagger {arguments.tagger}; leave it out, or learn another."
            )
    tagger = Tagger.load(arguments.tagger)
    if of_weights := given(arguments, "weights", "device", "tag"):
        tagger = tagger.with_weights(**{"weights": None, **of_weights})
    return tagger


def _need_labels(arguments: argparse.Namespace) -> None:
    if not (arguments.labels or arguments.tagger):
        raise CoMCError("Say which tags: --labels FILE, or --tagger DIR for one that learn has written.")


def _tagger_and_choice(arguments: argparse.Namespace) -> tuple[Tagger, float | str | Threshold | None, str]:
    """The tagger, from what score a label is a tag, and how tags are chosen, in words."""
    import numpy as np

    tagger = _tagger(arguments)
    least, choice = _threshold(arguments.threshold, tagger)
    # What is wrong with the choice is said before photos are embedded for hours.
    tagger.scorer.choose(np.empty((0, len(tagger.labels))), least, arguments.top_k)
    return tagger, least, choice + (f", {arguments.top_k} a photo at most" if arguments.top_k else "")


def _tagging(arguments: argparse.Namespace) -> Job:
    """What ``tag --engine`` does to each shard."""
    from comc_utils.tagging.engine.work import Job

    _need_labels(arguments)
    if arguments.prefix:
        raise CoMCError(
            "--prefix is for keywords in XMP sidecars, which --engine does not write; leave it out."
        )
    tagger, least, choice = _tagger_and_choice(arguments)
    return Job(
        arguments.to.absolute(),
        arguments.keep or "tags",
        tagger.about.towers,
        tagger.load_towers,
        tagger.about,
        tagger.scorer.tensors,
        least,
        arguments.top_k,
        choice,
    )


def _embedding(arguments: argparse.Namespace) -> Job:
    """What ``embed --engine`` does to each shard."""
    from functools import partial

    from comc_utils.tagging.engine.work import Job
    from comc_utils.tagging.models import describe_towers, load_towers

    _tell_of_model(arguments)
    load = partial(load_towers, **given(arguments, "model", "weights", "tag", "device"))
    towers = describe_towers(load())
    keep = arguments.keep or ("regions" if towers.regions else "global")
    if keep != "global" and not towers.regions:
        raise CoMCError(
            f"--keep {keep}: {towers.model} looks at whole photos alone here; keep global, or leave it out."
        )
    return Job(arguments.to.absolute(), keep, towers, load)


def _gathered(arguments: argparse.Namespace) -> Photos:
    from comc_utils.tagging.photos import gather_photos

    photos = gather_photos(arguments.photos, listed=arguments.list, limit=arguments.limit)
    if photos.passed_over:
        print(f"passed over in {photos.passed_over}", file=sys.stderr)
    return photos


def _embed(photos: Photos, tagger: Tagger, arguments: argparse.Namespace) -> PhotoEmbeddings:
    return tagger.embed(photos, skip_unreadable=arguments.skip_unreadable, progress=True)


def _embed_with(arguments: argparse.Namespace, photos: Photos) -> PhotoEmbeddings:
    from comc_utils.tagging.library import PhotoLibrary
    from comc_utils.tagging.models import describe_towers, load_towers

    towers = load_towers(**given(arguments, "model", "weights", "tag", "device"))
    return PhotoLibrary().embed(
        photos,
        describe_towers(towers),
        lambda: towers.clip,
        skip_unreadable=arguments.skip_unreadable,
        progress=True,
    )


def _tell_of_photos(found: PhotoEmbeddings) -> None:
    print(f"{len(found):,} photos with {found.towers.model}: {found.changes}")


def _tell_of_model(arguments: argparse.Namespace) -> None:
    from comc_utils.tagging.models import notice

    if arguments.model and (text := notice(arguments.model)):
        print(f"note: {text}", file=sys.stderr)


def _threshold(given: str, tagger: Tagger) -> tuple[float | str | Threshold | None, str]:
    """The threshold that was asked for, and how tags are chosen, in words."""
    from comc_utils.tagging.thresholds import read_thresholds

    if given == "all":
        return None, "all labels"
    if given == "auto":
        own = tagger.threshold
        return own, f"scores from {own} on ({own.origin})"
    try:
        value = float(given)
    except ValueError:
        by_label = read_thresholds(Path(given), tagger.labels)
        return by_label, f"scores from each label's own threshold on ({by_label.origin})"
    if not isfinite(value):
        raise CoMCError(f"--threshold {given}: give a finite number, auto, all for every label, or a file.")
    return value, f"scores from {value:g} on"


def _write_gallery(
    arguments: argparse.Namespace,
    tagger: Tagger,
    found: PhotoEmbeddings,
    tagged: Tagged,
    least: float | str | Threshold | None,
) -> str:
    from comc_utils.tagging.gallery.cards import Shown, thumbnails_of
    from comc_utils.tagging.gallery.pages import write_gallery

    if arguments.dry_run:
        return f"Would write the gallery {arguments.gallery}"
    photos = found.photos
    shown = Shown(tagger, found, photos.names, thumbnails_of(photos), least, arguments.top_k)
    pages = write_gallery(arguments.gallery, shown, photos, tagged, progress=True)
    return f"Gallery: {arguments.gallery}" + (f" and {len(pages) - 1:,} more pages" if len(pages) > 1 else "")


def _write_sidecars(arguments: argparse.Namespace, photos: Photos, tags: list) -> str:
    from comc_utils.tagging.library import PhotoLibrary
    from comc_utils.tagging.sidecars import SidecarRecord, write_sidecars

    outcome = write_sidecars(
        photos,
        tags,
        kind=arguments.sidecars,
        names=arguments.sidecar_names,
        prefix=arguments.prefix,
        record=SidecarRecord(PhotoLibrary()),
        dry_run=arguments.dry_run,
    )
    return f"{'dry run, ' if arguments.dry_run else ''}{outcome}"
