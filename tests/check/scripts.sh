#!/bin/sh
exec /usr/bin/python3 "$(dirname "$0")/run_check.py" scripts "$@"
