"""Training a LoRA, from the dataset to the last checkpoint. Worker-side.

Everything random follows from the recipe's seed and the step, never from what ran before: a run that was
stopped or killed and resumed ends, on the CPU, with the very weights of one that was not.

A card that runs out of memory ends an attempt, not the run: what was learnt is saved, everything is let go
of, one memory setting steps down, and the next attempt goes on from the newest checkpoint. So does a run
whose numbers break: from the last good checkpoint, with a lower learning rate.
"""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch
from diffusers import LTXVideoTransformer3DModel
from pydantic import JsonValue
from torch import nn

from ltx_wizard.core.events import (
    LOADING_MODEL,
    CheckpointSaved,
    SettingChanged,
    Started,
    StepDone,
    StepSkipped,
    Validated,
    Warned,
)
from ltx_wizard.core.project import Project
from ltx_wizard.core.recipe import Recipe
from ltx_wizard.core.report import Cancelled, Report, progress
from ltx_wizard.core.run import JobFolder, JobStatus, TrainJob
from ltx_wizard.dataset.augment import plan_copies
from ltx_wizard.dataset.batches import Batches
from ltx_wizard.dataset.buckets import plan_buckets
from ltx_wizard.dataset.dataset import fingerprint, read_clips
from ltx_wizard.dataset.encode import (
    Encoders,
    Example,
    build_examples,
    captions_of,
    encode_clips,
    encode_texts,
)
from ltx_wizard.dataset.held_out import held_out_clips
from ltx_wizard.models.catalog import find_model
from ltx_wizard.models.lora import add_lora, lora_weights, set_lora_weights
from ltx_wizard.models.ltx_video import TextEmbedding, load_transformer
from ltx_wizard.models.precision import loss_scale, peak_memory_gib, training_device
from ltx_wizard.models.recompute import enable_recompute
from ltx_wizard.models.weights import find_files, shift_range
from ltx_wizard.training.checkpoint import (
    LORA_FILE,
    CheckpointState,
    newest_good_step,
    read_lora,
    read_state,
    restore_optimizer,
    save_checkpoint,
)
from ltx_wizard.training.health import DivergenceWatch, best_checkpoint, overfitting
from ltx_wizard.training.ladder import Stage, does_not_fit, next_rung, stepped_down
from ltx_wizard.training.objective import Objective, stable_seed
from ltx_wizard.training.optimizers import build_optimizer, learning_rate_at, set_learning_rate
from ltx_wizard.training.previews import Previews
from ltx_wizard.training.recovery import Broken, go_back, with_lowered_rate
from ltx_wizard.training.shortage import CardFull, during, let_go
from ltx_wizard.training.validation import fixed_set, validation_loss

_PAUSE_POLL_S = 0.3


@dataclass(frozen=True)
class Prepared:
    """The encoded dataset and every prompt's embedding."""

    examples: list[Example]
    texts: dict[str, TextEmbedding]


def run_train(project: Project, folder: JobFolder, job: TrainJob, report: Report) -> dict[str, JsonValue]:
    """Train, or go on from the newest checkpoint. Raises Cancelled after saving, or WizardError."""
    began = time.monotonic()
    if job.dataset_fingerprint != fingerprint(project):
        report.emit(
            Warned(message="The dataset has changed since this run began; it goes on with the new one.")
        )
    attempts = _Attempts(project, folder, job.held_out, report)
    last = None
    while last is None:
        status = folder.status()
        memory = stepped_down(job.recipe.memory, status.changes)
        recipe = with_lowered_rate(job.recipe.model_copy(update={"memory": memory}), status.returns)
        stage: Stage | None = None
        broken: Broken | None = None
        try:
            last = attempts.train(recipe)
        except CardFull as full:
            stage = full.stage
        except Broken as error:
            broken = error.with_traceback(None)
        # Outside the except block, where nothing keeps the failed attempt alive.
        if stage is not None:
            let_go()
            _step_down(recipe, stage, report)
        if broken is not None:
            let_go()
            go_back(folder, job.recipe, broken, report)
    offered = _offered(folder, job.recipe, last)
    return {
        "lora": f"checkpoints/{folder.checkpoint_folder(offered).name}/{LORA_FILE}",
        "lora_step": offered,
        "steps": last,
        "seconds": round(time.monotonic() - began, 1),
    }


def _offered(folder: JobFolder, recipe: Recipe, last: int) -> int:
    """The step whose LoRA the run ends with: the one that the validation loss speaks for, else the last."""
    best = best_checkpoint(folder.status().validations, folder.saved_steps())
    return best.step if best and recipe.health.keep_best else last


def _step_down(recipe: Recipe, stage: Stage, report: Report) -> None:
    """Tell the next rung: the event is what the next attempt, and every later start, reads it from.

    Raises OutOfGpuMemory where none is left or the recipe forbids it.
    """
    rung = next_rung(recipe.memory, stage) if recipe.memory.step_down else None
    if rung is None:
        raise does_not_fit(recipe, stage)
    report.emit(SettingChanged(setting=rung.setting, value=rung.value, reason=rung.reason))


class _Attempts:
    """Builds everything and trains, as often as it takes. Only the encoded dataset stays from one to the
    next: it lies in main memory.
    """

    def __init__(
        self, project: Project, folder: JobFolder, held_out: Sequence[str] | None, report: Report
    ) -> None:
        self._project, self._folder, self._report = project, folder, report
        self._held_out = held_out
        self._prepared: Prepared | None = None

    def train(self, recipe: Recipe) -> int:
        """The last step. Raises CardFull after saving, Cancelled or WizardError."""
        spec = find_model(recipe.model)
        encoders = Encoders(spec, find_files(spec), recipe.memory, training_device())
        if self._prepared is None:
            self._prepared = prepare(self._project, recipe, encoders, self._report, self._held_out)
        prepared = self._prepared
        progress(self._report, LOADING_MODEL, 0, 1)
        with during("load"):
            transformer = load_transformer(spec, encoders.files, recipe.memory, encoders.device)
        objective = Objective(
            spec,
            shift_range(encoders.files),
            recipe.noise,
            recipe.memory,
            encoders.device,
            prepared.texts[""],
        )
        previews = Previews(self._project, recipe, encoders, transformer, prepared.texts, prepared.examples)
        with during("train"):
            training = Training(
                self._folder, recipe, transformer, objective, prepared.examples, previews, self._report
            )
            return training.run()


def prepare(
    project: Project,
    recipe: Recipe,
    encoders: Encoders,
    report: Report,
    held_out: Sequence[str] | None = None,
) -> Prepared:
    """Everything that text encoder and VAE are needed for: captions, validation prompts, clips.

    held_out: ids of the clips kept out of training; None: marked ones, else chosen by lot.
    """
    settings, clips = project.read_settings(), read_clips(project)
    plan = plan_buckets(clips, encoders.spec, recipe.data.buckets)
    for clip_id, reason in plan.unfit.items():
        report.emit(Warned(message=f"{clip_id} is left out. {reason}"))
    planned = [clip for clip in clips if clip.id in plan.assignment]
    kept_out = (
        held_out_clips(planned, recipe.data.held_out_share)
        if held_out is None
        else {clip.id for clip in planned if clip.id in held_out}
    )
    copies = plan_copies(clips, recipe.data, recipe.seed, kept_out)
    captions = captions_of(clips, settings, copies)
    prompts = Previews.prompts_of(recipe, settings)
    wanted = [*captions.values(), *prompts, recipe.validation.negative_prompt, ""]
    with during("text"):
        texts = encode_texts(project, wanted, encoders, report)
    with during("clips"):
        latents = encode_clips(project, clips, plan, encoders, report, copies, recipe.data.first_frame_blur)
    fitting = [clip for clip in clips if clip.id in latents]
    return Prepared(build_examples(fitting, captions, texts, latents, plan, kept_out, copies), texts)


class Training:
    """One run of the loop."""

    def __init__(
        self,
        folder: JobFolder,
        recipe: Recipe,
        transformer: LTXVideoTransformer3DModel,
        objective: Objective,
        examples: list[Example],
        previews: Previews,
        report: Report,
    ) -> None:
        self._folder, self._recipe, self._report = folder, recipe, report
        self._transformer, self._objective, self._previews = transformer, objective, previews
        self._parameters = add_lora(transformer, recipe.lora, recipe.seed)
        if recipe.memory.gradient_checkpointing:
            enable_recompute(transformer, dropout=recipe.lora.dropout > 0)
        self._loss_scale = loss_scale(recipe.memory, objective.device)
        self._optimizer = build_optimizer(recipe.optimizer, self._parameters)
        self._batches = Batches(examples, recipe.data, stable_seed(recipe.seed, "batches"))
        self._fixed = fixed_set(examples, recipe.validation.loss_clips, recipe.model)
        self._before = folder.status()
        self._losses: list[tuple[int, float]] = []
        self._validations: list[Validated] = []
        self._watch = DivergenceWatch()
        self._bad_in_a_row = 0
        self._enough = False
        """Whether the run ends early."""
        self._saved = 0
        self._whole: int | None = None
        """The step that the weights are of; None while they change."""

    def run(self) -> int:
        """The last step. Raises Cancelled or CardFull after saving."""
        step = self._restore()
        try:
            self._look(step)
            while step < self._recipe.steps and not self._enough:
                self._wait_while_paused()
                if self._report.stop_requested():
                    raise Cancelled
                step += 1
                with during("train"):
                    self._train_step(step)
                if self._saves_at(step):
                    self._save(step)
                self._look(step)
            if self._enough:
                self._keep_what_was_learnt()
        except (Cancelled, CardFull):
            self._keep_what_was_learnt()
            raise
        return step

    def _keep_what_was_learnt(self) -> None:
        """Save the last complete step. An update that broke off leaves weights of no step: the newest
        checkpoint counts then.
        """
        if self._whole is not None and self._whole > self._saved:
            self._save(self._whole)

    def _restore(self) -> int:
        """Go back to the newest good checkpoint; 0 for a new run."""
        step = newest_good_step(self._folder, self._report)
        if step:
            set_lora_weights(self._transformer, read_lora(self._folder, step))
            restore_optimizer(self._folder, step, self._optimizer)
            self._bad_in_a_row = read_state(self._folder, step).bad_in_a_row
            self._batches.skip(step * self._recipe.data.gradient_accumulation_steps)
        if step != self._before.step:
            self._report.emit(Started(pid=0, step=step, steps=self._recipe.steps))
            self._before = self._folder.status()
        if step and not any(item.step == step for item in self._before.checkpoints):
            self._tell_saved(step)
        self._validations = list(self._before.validations)
        for item in self._before.losses:
            self._losses.append((item.step, item.loss))
            self._watch.add(item.step, item.loss)
        self._saved = self._whole = step
        return step

    def _train_step(self, step: int) -> None:
        began = time.monotonic()
        recipe = self._recipe
        learning_rate = learning_rate_at(step, recipe.steps, recipe.optimizer.lr, recipe.schedule)
        set_learning_rate(self._optimizer, learning_rate)
        self._transformer.train()
        loss = self._backward(step)
        norm = float(nn.utils.clip_grad_norm_(self._parameters, recipe.optimizer.max_grad_norm))
        if not (math.isfinite(loss) and math.isfinite(norm)):
            self._skip(step, "gradient" if math.isfinite(loss) else "loss")
            return
        self._bad_in_a_row = 0
        self._whole = None
        self._optimizer.step()
        self._whole = step
        self._optimizer.zero_grad(set_to_none=True)
        self._report.emit(
            StepDone(
                step=step,
                steps=recipe.steps,
                loss=loss,
                learning_rate=learning_rate,
                grad_norm=norm,
                step_s=time.monotonic() - began,
                memory_gib=round(peak_memory_gib(self._objective.device), 2),
            )
        )
        self._watch_loss(step, loss)

    def _skip(self, step: int, what: Literal["loss", "gradient"]) -> None:
        """Leave weights and optimizer as they are. Raises Broken after too many such steps in a row."""
        self._optimizer.zero_grad(set_to_none=True)
        self._whole = step
        self._bad_in_a_row += 1
        count = self._bad_in_a_row
        self._report.emit(StepSkipped(step=step, steps=self._recipe.steps, what=what, in_a_row=count))
        if count >= self._recipe.health.bad_steps:
            words = f"the last {count} steps" if count > 1 else "the last step"
            raise Broken(step, step - count, f"At step {step:,} the {what} of {words} was not a number.")

    def _watch_loss(self, step: int, loss: float) -> None:
        """Raises Broken where the loss has climbed far above where it was."""
        self._losses.append((step, loss))
        found = self._watch.add(step, loss)
        if found and self._recipe.health.watch_divergence:
            reason = (
                f"At step {step:,} the loss had climbed to {found.now:.3f}, from {found.before:.3f} "
                f"around step {found.good_step:,}."
            )
            raise Broken(step, found.good_step, reason)

    def _backward(self, step: int) -> float:
        """Gradients of all micro-batches of one step; gives their mean loss."""
        count = self._recipe.data.gradient_accumulation_steps
        total = torch.zeros((), device=self._objective.device)
        for micro in range(count):
            seed = stable_seed(self._recipe.seed, step, micro)
            torch.manual_seed(seed)  # for LoRA dropout; everything else uses the generator
            loss = self._objective.loss(
                self._transformer, self._batches.next(), torch.Generator().manual_seed(seed)
            )
            (loss * self._loss_scale / count).backward()
            total += loss.detach() / count
        if self._loss_scale != 1.0:
            for parameter in self._parameters:
                if parameter.grad is not None:
                    parameter.grad /= self._loss_scale
        return float(total)

    def _saves_at(self, step: int) -> bool:
        """Not between bad steps: the weights may be broken already."""
        recipe = self._recipe
        is_due = step == recipe.steps or step % recipe.checkpoints.every == 0
        return is_due and (self._bad_in_a_row == 0 or step == recipe.steps)

    def _look(self, step: int) -> None:
        """Validation loss and samples, where they are due at this step and not there already."""
        recipe = self._recipe
        ends = step in (0, recipe.steps)
        # At each checkpoint as well, so that the best one can be told.
        is_due = ends or step % recipe.validation.loss_every == 0 or step % recipe.checkpoints.every == 0
        if is_due and not _has_validation(self._before, step):
            self._validate(step)
        if ends or step % recipe.validation.every == 0:
            made = {item.prompt_index for item in self._before.samples if item.step == step}
            with during("samples"):
                self._previews.make(step, self._folder, made, self._report)

    def _validate(self, step: int) -> None:
        with during("validation"):
            losses = validation_loss(self._transformer, self._objective, self._fixed, self._report)
        validated = self._fixed.summary(step, losses)
        self._report.emit(validated)
        self._validations.append(validated)
        if self._recipe.health.early_stop and step < self._recipe.steps:
            self._stop_if_overfitting(step)

    def _stop_if_overfitting(self, step: int) -> None:
        found = overfitting(self._validations, self._losses)
        if found is None:
            return
        self._enough = True
        self._report.emit(
            Warned(
                message=f"The run ended early, at step {step:,} of {self._recipe.steps:,}: the loss on clips "
                f"that it never trains on is {found.rise:.0%} above its lowest, at step {found.best.step:,}."
            )
        )

    def _save(self, step: int) -> None:
        recipe = self._recipe
        state = CheckpointState(
            step=step,
            rank=recipe.lora.rank,
            alpha=recipe.lora.alpha,
            model=recipe.model,
            optimizer=recipe.optimizer.name,
            bad_in_a_row=self._bad_in_a_row,
        )
        save_checkpoint(
            self._folder,
            state,
            lora_weights(self._transformer),
            self._optimizer,
            recipe.checkpoints.keep,
            self._best_so_far(),
        )
        self._saved = step
        self._tell_saved(step)

    def _best_so_far(self) -> set[int]:
        """Of the checkpoints before this one, that which must not be deleted as too old."""
        best = best_checkpoint(self._validations, self._folder.saved_steps())
        return {best.step} if best and self._recipe.health.keep_best else set()

    def _tell_saved(self, step: int) -> None:
        file = self._folder.checkpoint_folder(step).relative_to(self._folder.folder)
        self._report.emit(CheckpointSaved(step=step, file=Path(file).as_posix()))

    def _wait_while_paused(self) -> None:
        told = False
        while self._folder.pause_file.exists() and not self._report.stop_requested():
            if not told:
                progress(self._report, "Paused", 0, 0)
                told = True
            time.sleep(_PAUSE_POLL_S)


def _has_validation(status: JobStatus, step: int) -> bool:
    return any(item.step == step for item in status.validations)
