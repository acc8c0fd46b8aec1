#!/bin/sh
# Did this change make the container start slower? For any CI that runs a shell on Linux, as root or with DOCKER_HOST.
#
#   BASELINE=app:main CANDIDATE=app:pr READY=http:8080/health sh gate.sh [OPTION of coldstart gate …]
#
# Ends as coldstart gate does: 0 not slower, 1 a regression, 3 inconclusive, 4 disturbed. A disturbed machine is given one
# more try. COLDSTART names the command where it is not on PATH, JUNIT a file for the CI server.
set -u

: "${BASELINE:?name the baseline image: BASELINE=app:main}"
: "${CANDIDATE:?name the candidate image: CANDIDATE=app:pr}"
: "${READY:?say when it is ready: READY=http:8080/health}"

gate() {
    "${COLDSTART:-coldstart}" gate --baseline "$BASELINE" --candidate "$CANDIDATE" --ready "$READY" \
        --junit "${JUNIT:-coldstart-gate.xml}" "$@"
}

gate "$@"
code=$?
if [ "$code" -eq 4 ]; then
    echo "gate.sh: the machine was disturbed, or nothing could be measured; once more" >&2
    gate "$@"
    code=$?
fi
exit "$code"
