"""Names of the user attributes of trials and of a study, in Optuna's storage."""

from __future__ import annotations

#: Of a trial: its run directory relative to the study's folder (the folder of several, with seeds),
#: the reason of its failure, figures, the run directory that it continues, its worker, epochs
#: trained, and the objective of each seed.
RUN, WHY, METRICS, RESUMES, OWNER = "run", "why", "metrics", "resumes", "owner"
EPOCHS, SEEDS = "epochs", "seeds"
#: Of a trial: digest of its settings, and the trial with the same ones whose record it repeats.
SETTINGS, TWIN = "settings", "twin"
#: Of a trial: digest of the entry of `enqueue` that it tries.
ENTRY = "entry"
#: Of a trial of an earlier study that the sampler knows: digest of it, and where it is from.
WARM, SOURCE = "warm", "source"
#: Of a study: the metric that its trials were trained for; a list of several.
OBJECTIVE = "objective"
#: Of a study on a database: digest of its sweep file, digests of replaced ones.
DIGEST, OLD_DIGESTS = "sweep", "sweep before it was mended"
