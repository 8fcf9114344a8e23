#!/bin/sh
# What `make demo` runs: a compound request on a copy of examples/office, with a real MCP server beside the house's tools.
# BIN is the folder of the virtual environment with `bottega` and `mcp-server-time` in it.
set -eu

PATH="$(cd "${BIN:-.venv/bin}" && pwd):$PATH"
here="$(cd "$(dirname "$0")" && pwd)"
folder="$(mktemp -d)"
trap 'rm -rf "$folder"' EXIT
cp -R "$here/office/." "$folder"
cd "$folder"

request="Count the lines in kiln.log that contain ERROR and write the number to errors.txt, \
tell me which customer in orders.csv has the highest total amount, \
and convert 16:30 from Europe/Rome to Asia/Tokyo"

echo "\$ bottega run --yes \"$request\""
bottega run --yes "$request"
echo
echo "\$ cat errors.txt"
cat errors.txt
