"""SummaryWriter: scalars, histograms, images, text and figures in files that TensorBoard reads."""

from __future__ import annotations

import os
import time
from typing import Any

from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.summary.writer.event_file_writer import EventFileWriter

from flambeau.utils.tensorboard import summaries


class FileWriter:
    """Writes events into one file of a folder."""

    def __init__(self, log_dir: Any, max_queue: int = 10, flush_secs: int = 120,
                 filename_suffix: str = "") -> None:  # fmt: skip
        self.event_writer = EventFileWriter(str(log_dir), max_queue, flush_secs, filename_suffix)

    def get_logdir(self) -> str:
        """The folder."""
        return self.event_writer.get_logdir()

    def add_event(self, event: Any, step: Any = None, walltime: float | None = None) -> None:
        """An event, with the time and the step that it belongs to."""
        event.wall_time = time.time() if walltime is None else walltime
        if step is not None:
            event.step = int(step)
        self.event_writer.add_event(event)

    def add_summary(self, summary: Any, global_step: Any = None,
                    walltime: float | None = None) -> None:  # fmt: skip
        """A summary as an event."""
        self.add_event(Event(summary=summary), global_step, walltime)

    def flush(self) -> None:
        self.event_writer.flush()

    def close(self) -> None:
        self.event_writer.close()


class SummaryWriter:
    """Writes what a program measures into a folder that TensorBoard shows.

    log_dir: the folder; without one, runs/ and a name of its own. Values may be tensors, arrays or
    numbers.
    """

    def __init__(self, log_dir: Any = None, comment: str = "", purge_step: int | None = None,
                 max_queue: int = 10, flush_secs: int = 120,
                 filename_suffix: str = "") -> None:  # fmt: skip
        if not log_dir:
            import socket
            from datetime import datetime

            now = datetime.now().strftime("%b%d_%H-%M-%S")
            log_dir = os.path.join("runs", f"{now}_{socket.gethostname()}{comment}")
        self.log_dir = str(log_dir)
        self.options = max_queue, flush_secs, filename_suffix
        self.file_writer: FileWriter | None = None
        self.all_writers: dict[str, FileWriter] = {}
        self._writer()
        if purge_step is not None:
            self._purge(purge_step)

    def _writer(self, log_dir: str | None = None) -> FileWriter:
        """The writer of a folder, opened anew after it was closed."""
        folder = log_dir or self.log_dir
        if folder not in self.all_writers:
            self.all_writers[folder] = FileWriter(folder, *self.options)
        if folder == self.log_dir:
            self.file_writer = self.all_writers[folder]
        return self.all_writers[folder]

    def _purge(self, step: int) -> None:
        """Tell TensorBoard to forget what a crashed run wrote from a step on."""
        from tensorboard.compat.proto.event_pb2 import SessionLog

        writer = self._writer()
        writer.add_event(Event(file_version="brain.Event:2"), step)
        writer.add_event(Event(session_log=SessionLog(status=SessionLog.START)), step)

    def get_logdir(self) -> str:
        """The folder."""
        return self.log_dir

    def add_scalar(self, tag: str, scalar_value: Any, global_step: Any = None,
                   walltime: float | None = None, new_style: bool = False,
                   double_precision: bool = False) -> None:  # fmt: skip
        """One number."""
        made = summaries.tensor_scalar if new_style else summaries.scalar
        self._writer().add_summary(made(tag, scalar_value), global_step, walltime)

    def add_scalars(self, main_tag: str, tag_scalar_dict: dict[str, Any], global_step: Any = None,
                    walltime: float | None = None) -> None:  # fmt: skip
        """Several numbers under one heading, each in a folder of its own."""
        for tag, value in tag_scalar_dict.items():
            folder = os.path.join(self.log_dir, f"{main_tag}_{tag}".replace("/", "_"))
            summary = summaries.scalar(main_tag, value)
            self._writer(folder).add_summary(summary, global_step, walltime)

    def add_histogram(self, tag: str, values: Any, global_step: Any = None,
                      bins: Any = "tensorflow", walltime: float | None = None,
                      max_bins: int | None = None) -> None:  # fmt: skip
        """How values are distributed. bins: 'tensorflow', a number, or a word of NumPy's."""
        summary = summaries.histogram(tag, values, bins, max_bins)
        self._writer().add_summary(summary, global_step, walltime)

    def add_image(self, tag: str, img_tensor: Any, global_step: Any = None,
                  walltime: float | None = None, dataformats: str = "CHW") -> None:  # fmt: skip
        """A picture; dataformats: what each dim is (CHW, HWC, HW)."""
        summary = summaries.image(tag, img_tensor, dataformats)
        self._writer().add_summary(summary, global_step, walltime)

    def add_images(self, tag: str, img_tensor: Any, global_step: Any = None,
                   walltime: float | None = None, dataformats: str = "NCHW") -> None:  # fmt: skip
        """Several pictures side by side."""
        summary = summaries.image(tag, img_tensor, dataformats)
        self._writer().add_summary(summary, global_step, walltime)

    def add_figure(self, tag: str, figure: Any, global_step: Any = None, close: bool = True,
                   walltime: float | None = None) -> None:  # fmt: skip
        """A figure of matplotlib's, or several; they are closed afterwards."""
        figures = figure if isinstance(figure, list) else [figure]
        pictures = [summaries.drawn(one, close) for one in figures]
        if isinstance(figure, list):
            self.add_images(tag, summaries.stacked(pictures), global_step, walltime, "NHWC")
        else:
            self.add_image(tag, pictures[0], global_step, walltime, "HWC")

    def add_text(self, tag: str, text_string: str, global_step: Any = None,
                 walltime: float | None = None) -> None:  # fmt: skip
        """Text, in Markdown."""
        self._writer().add_summary(summaries.text(tag, text_string), global_step, walltime)

    def _refuse(self, *_: Any, **__: Any) -> None:
        raise NotImplementedError("graphs, hyperparameters, embeddings, sounds, videos, meshes and "
                                  "curves are not supported; use add_scalar, add_histogram, "
                                  "add_image, add_figure and add_text")  # fmt: skip

    add_graph = add_hparams = add_embedding = add_audio = add_video = add_mesh = _refuse
    add_pr_curve = add_pr_curve_raw = add_custom_scalars = add_onnx_graph = add_tensor = _refuse
    add_custom_scalars_multilinechart = add_custom_scalars_marginchart = _refuse

    def flush(self) -> None:
        """Write out what waits."""
        for writer in self.all_writers.values():
            writer.flush()

    def close(self) -> None:
        """Write out what waits, and close the files."""
        for writer in self.all_writers.values():
            writer.flush()
            writer.close()
        self.file_writer, self.all_writers = None, {}

    def __enter__(self) -> SummaryWriter:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


__all__ = ["FileWriter", "Summary", "SummaryWriter"]
