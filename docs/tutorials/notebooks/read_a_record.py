# %% [markdown]
# # Read a record with pandas
#
# `record.json` holds everything that an audit found, and `tables/` a row for each scan. Here is a small audit to read;
# yours lies in a folder below `privaudit-runs`.

# %%
import json
from pathlib import Path

import pandas as pd

import privaudit

people = {"name": "phantom", "subjects": 20, "sessions": 2, "voxel_mm": 4}
run = privaudit.audit("none", dataset=people, attacks=["reid"], controls="single", out="plain", quiet=True).run

# %% [markdown]
# The findings are a list; each has an estimate, an interval, what it is compared with, and a verdict where it decides.

# %%
record = json.loads((run / "record.json").read_text())
findings = pd.json_normalize(record["findings"])
print(record["verdict"], "-", record["reason"])
findings.loc[
    findings.role == "primary", ["attack", "protocol", "metric", "estimate", "ci", "baseline.estimate", "verdict"]
]

# %% [markdown]
# `secondary` findings support: here, how often the right person comes first.

# %%
findings.loc[findings.metric == "rank1", ["attack", "protocol", "estimate", "n_subjects", "n_scans"]]

# %% [markdown]
# One row for each scan. People are pseudonyms.

# %%
tables = {file.stem: pd.read_csv(file) for file in sorted(Path(run, "tables").glob("*.csv"))}
rows = tables["reid.encoded"]
rows[["person", "predicted", "rank1", "average_precision"]].head()

# %% [markdown]
# The mean over people, each counted once however many scans there are:

# %%
rows.groupby("person")["average_precision"].mean().describe()[["count", "mean", "min"]]
