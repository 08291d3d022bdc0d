"""A job to try: two companies, two files that overlap, an intersection and a mean over it."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Final

import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq

ROWS: Final = 100_000
_JOB: Final = """\
# Which enterprises do both companies meter, and what is the mean of their readings? Neither sees the other's file.
# 两家单位求出共有的企业，再求双方读数的均值；双方都不出示自己的文件。
#     hutong job run {name}
name = "meters of two grids"
timeout = 600                        # seconds; then the job is stopped
# transport = "grpc"                 # between the nodes; http if left out
# scheduler = "park"                 # the node that schedules; the initiator's if left out

[nodes.city]                         # the first guest initiates the job
role = "guest"
start = true                         # started here, its files go into a folder of its name; a node that runs already:
# address = "http://127.0.0.1:8801"  #   where it is,
# node_id = "node-a"                 #   its id, if that is not "city", and
# token_file = "node-a/operator-token" # the token of its operator (or token_env = "NAME"); without a token its
                                     #   operator confirms what is asked of it

[nodes.city.datasets]
meters = {{ file = "city.parquet", id = "enterprise" }}

[nodes.park]
role = "host"
start = true

[nodes.park.datasets]
meters = {{ file = "park.csv", id = "enterprise" }}

[[components]]
name = "psi"
component = "intersection"
input.table = {{ city = "meters", park = "meters" }}

[[components]]
name = "mean"
component = "statistics"
input.table = "psi.joined"           # the rows whose enterprise is in both
params.columns = ["kwh"]
params.scale = 3                     # digits behind the point
"""


def write_example(folder: Path, rows: int = ROWS, seed: int = 2026) -> tuple[Path, ...]:
    """Write a job file, a Parquet and a CSV file of `rows` identifiers each, of which three in five are common."""
    folder.mkdir(parents=True, exist_ok=True)
    files = (folder / "job.toml", folder / "city.parquet", folder / "park.csv")
    files[0].write_text(_JOB.format(name=files[0]), encoding="utf-8")
    chance = random.Random(seed)
    apart = rows * 2 // 5
    pq.write_table(_readings(chance, 0, rows), files[1])
    pa_csv.write_csv(_readings(chance, apart, rows), files[2])
    return files


def _readings(chance: random.Random, first: int, rows: int) -> pa.Table:
    numbers = list(range(first, first + rows))
    chance.shuffle(numbers)
    watt_hours = [chance.randrange(10_000_000) for _ in numbers]
    return pa.table(
        {
            "enterprise": [f"E{number:08d}" for number in numbers],
            "kwh": pa.array([f"{value // 1000}.{value % 1000:03d}" for value in watt_hours]).cast(pa.decimal128(12, 3)),
        }
    )
