"""Prints the house tools as JSON, in the form of `tools/list`: what the training corpus is written for.

python -m bottega.tools.house > models/training/corpus/house_tools.json
"""

import json

from . import house_toolsets


def main() -> None:
    listing = [
        {"server": t.server, "name": t.name, "description": t.description, "input_schema": t.input_schema}
        for toolset in house_toolsets()
        for t in toolset
    ]
    print(json.dumps(listing, indent=1, ensure_ascii=False))


if __name__ == "__main__":
    main()
