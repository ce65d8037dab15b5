#!/usr/bin/env python3
"""Reads a run's event file with the tensorboard package and compares it with metrics.jsonl.

check_tensorboard.py RUN    (after `darkhorse report RUN`; RUN holds metrics.jsonl)"""

import json
import pathlib
import sys

import numpy
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator


def main():
    run = pathlib.Path(sys.argv[1])
    events = EventAccumulator(str(run / "tensorboard"), size_guidance={"scalars": 0, "tensors": 0})
    events.Reload()
    compared = 0
    for line in map(json.loads, (run / "metrics.jsonl").read_text().splitlines()):
        for name, value in line.items():
            if name == "step" or not isinstance(value, (int, float)):
                continue
            read = [s for s in events.Scalars(name) if s.step == line["step"]]
            assert len(read) == 1 and read[0].value == numpy.float32(value), (line["step"], name, read)
            compared += 1
    assert compared > 0
    print(f"{compared} scalars agree; tags: {', '.join(events.Tags()['scalars'])}")


if __name__ == "__main__":
    main()
