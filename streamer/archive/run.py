"""The driver: what is missing is analysed, recorded and tabled; it can be killed at any moment and run again."""

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from streamer.archive import tables
from streamer.archive.analysis import EVENTS, REPORTS, Analysed, Target
from streamer.archive.engines import Crashed, Engine, Finished, News, Reached
from streamer.archive.ledger import MAX_ATTEMPTS, Call, Ledger
from streamer.archive.plan import Job
from streamer.errors import UserError
from streamer.files import remove_leftovers

if TYPE_CHECKING:
    from streamer.settings.tree import Settings

_PART = 200
"""Calls of one part of the tables."""
_SECTIONS = ("audio", "segmentation", "asr", "emotion", "privacy", "alerts")
"""Settings on which the events of a call depend."""


@dataclass(frozen=True, slots=True)
class Report:
    """Result of a run: numbers of calls."""

    planned: int
    skipped: int
    """Done before."""
    failed_before: int
    """Not tried again."""
    done: int
    failed: int
    set_aside: int
    interrupted: bool = False


def recipe(settings: "Settings") -> str:
    """Return a digest of all that the events of a call depend on beside the call: the bundle and the settings."""
    from streamer_models.bundle import BundleError, find_bundle

    try:
        folder = find_bundle(settings.emotion.bundle)
    except BundleError as error:
        raise UserError(f"emotion.bundle: {error}") from None
    sections = settings.model_dump(mode="json", include=set(_SECTIONS))
    digest = hashlib.sha256(json.dumps(sections, sort_keys=True).encode())
    digest.update((folder / "bundle.json").read_bytes())
    return digest.hexdigest()


def run(
    jobs: Sequence[Job],
    engine: Engine,
    settings: "Settings",
    target: Target,
    *,
    retry_failed: bool = False,
    begin: Callable[[Sequence[Job]], None] = lambda _: None,
    show: Callable[[News], None] = lambda _: None,
    say: Callable[[str], None] = lambda _: None,
) -> Report:
    """Analyse what is not done yet.

    Args:
        jobs: the plan.
        engine: where calls are analysed.
        settings: all settings.
        target: where results go.
        retry_failed: also calls that failed or were set aside before.
        begin: called with the calls that are not done yet, for a progress bar.
        show: called with all news, for the same.
        say: called with a line about each call that failed.

    Raises:
        UserError: if the target cannot be written, another run holds it, or the models cannot be loaded.
    """
    tables.check()
    target.folder.mkdir(parents=True, exist_ok=True)
    with Ledger(target.folder) as ledger:
        _remove_leftovers(target)
        run = _Run(ledger, settings, target, begin, show, say)
        try:
            return run.run(jobs, engine, retry_failed=retry_failed)
        finally:
            _remove_leftovers(target)


def _remove_leftovers(target: Target) -> None:
    for folder in (EVENTS, REPORTS, tables.UTTERANCES, tables.SUMMARIES):
        remove_leftovers(target.folder / folder)


class _Run:
    def __init__(
        self,
        ledger: Ledger,
        settings: "Settings",
        target: Target,
        begin: Callable[[Sequence[Job]], None],
        show: Callable[[News], None],
        say: Callable[[str], None],
    ) -> None:
        self._ledger = ledger
        self._settings = settings
        self._target = target
        self._begin = begin
        self._show = show
        self._say = say
        self._recipe = recipe(settings)
        self._calls = ledger.calls()
        self._counts = {"done": 0, "failed": 0, "set aside": 0}
        self._untabled: list[str] = []

    def run(self, jobs: Sequence[Job], engine: Engine, *, retry_failed: bool) -> Report:
        """See `run`."""
        missing = [job for job in jobs if self._is_missing(job, retry_failed=retry_failed)]
        names = {job.name for job in missing}
        failed_before = sum(
            self._calls[job.name].state != "done" for job in jobs if job.name not in names
        )
        if part := self._ledger.unfinished_part():
            tables.discard(self._target.folder, part)
        self._remove_stale(missing)
        self._untabled = [
            call.name
            for call in self._calls.values()
            if not call.tabled
            and call.session
            and call.name not in names
            and self._target.events(call.name).is_file()
        ]
        self._begin(missing)
        interrupted = False
        waiting = missing
        try:
            while waiting:
                crashed = [
                    news.job
                    for news in engine.run(waiting, self._settings, self._target)
                    if self._take(news)
                ]
                waiting = crashed
        except KeyboardInterrupt:
            engine.stop()
            interrupted = True
        self._add_to_tables()
        return Report(
            planned=len(jobs),
            skipped=len(jobs) - len(missing) - failed_before,
            failed_before=failed_before,
            done=self._counts["done"],
            failed=self._counts["failed"],
            set_aside=self._counts["set aside"],
            interrupted=interrupted,
        )

    def _is_missing(self, job: Job, *, retry_failed: bool) -> bool:
        call = self._calls.get(job.name)
        if call is None or call.recipe != self._recipe:
            return True
        if call.state == "done":
            return not self._target.events(job.name).is_file()
        if call.state == "failed" and call.attempts and call.attempts < MAX_ATTEMPTS:
            return True  # its worker died, which may have been chance
        return retry_failed

    def _remove_stale(self, missing: Sequence[Job]) -> None:
        """Take calls that are analysed again out of the tables."""
        known = [self._calls[job.name] for job in missing if job.name in self._calls]
        if tabled := {call.name for call in known if call.tabled}:
            tables.remove(self._target.folder, tabled)
        for call in known:
            fresh = call.recipe != self._recipe or call.attempts >= MAX_ATTEMPTS
            kept = replace(call, tabled=False, attempts=0 if fresh else call.attempts)
            self._calls[call.name] = kept
            self._ledger.write(kept)

    def _take(self, news: News) -> bool:
        """Record news; give whether the call is to be tried again."""
        self._show(news)
        if isinstance(news, Reached):
            return False
        before = self._calls.get(news.job.name)
        attempts = before.attempts if before else 0
        if isinstance(news, Crashed):
            return self._crashed(news, attempts + 1)
        self._finished(news, attempts)
        return False

    def _crashed(self, news: Crashed[Job], attempts: int) -> bool:
        aside = attempts >= MAX_ATTEMPTS
        self._write(
            news.job, Analysed(failure=news.reason), "set aside" if aside else "failed", attempts
        )
        if aside:
            self._counts["set aside"] += 1
            self._say(f"{news.job.source}: set aside after {attempts} attempts: {news.reason}")
        return not aside

    def _finished(self, news: Finished[Job, Analysed], attempts: int) -> None:
        analysed = news.result
        state = "failed" if analysed.failure else "done"
        self._counts[state] += 1
        self._write(news.job, analysed, state, 0 if not analysed.failure else attempts)
        if analysed.failure:
            self._say(
                analysed.failure
                if news.job.source in analysed.failure
                else f"{news.job.source}: {analysed.failure}"
            )
        if analysed.written:
            self._untabled.append(news.job.name)
        if len(self._untabled) >= _PART:
            self._add_to_tables()

    def _write(self, job: Job, analysed: Analysed, state: str, attempts: int) -> None:
        call = Call(
            name=job.name,
            source=job.source,
            state=state,  # type: ignore[arg-type]
            recipe=self._recipe,
            attempts=attempts,
            reason=analysed.failure,
            session=analysed.session,
            seconds=analysed.seconds,
            cpu=analysed.cpu,
            tabled=False,
        )
        self._calls[job.name] = call
        self._ledger.write(call)

    def _add_to_tables(self) -> None:
        names = list(dict.fromkeys(self._untabled))
        if names:
            part = tables.new_part()
            self._ledger.begin_part(part)
            files = [(name, self._target.events(name)) for name in names]
            tables.add(self._target.folder, part, files)
            self._ledger.finish_part(names)
        self._untabled.clear()


def target_folder(text: str) -> Path:
    """Check the target folder.

    Raises:
        UserError: if it is a file.
    """
    folder = Path(text)
    if folder.exists() and not folder.is_dir():
        raise UserError(f"--out {text}: is not a folder")
    return folder
