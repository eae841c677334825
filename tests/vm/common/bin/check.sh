# Helpers for checks inside the machine; source this file. Every check prints `ok N - name` or
# `not ok N - name`. `finish` prints the plan, which the runner compares.

number=0

# say TEXT...: prints to the console, even if stdout is redirected.
say() {
    echo "$*" >/dev/console
}

# check NAME COMMAND...: passes if the command does; else prints its output.
check() {
    name=$1
    shift
    number=$((number + 1))
    if "$@" >/run/check.out 2>&1; then
        say "ok $number - $name"
    else
        say "not ok $number - $name"
        sed 's/^/# /' /run/check.out >/dev/console
        tail -n 15 /run/tmd.log | sed 's/^/# tmd: /' >/dev/console
    fi
}

# eventually SECONDS COMMAND...: retries the command; passes as soon as it does.
eventually() {
    rounds=$(($1 * 10))
    shift
    while ! "$@"; do
        rounds=$((rounds - 1))
        [ "$rounds" -gt 0 ] || return 1
        usleep 100000
    done
}

# fails_with CODE COMMAND...: passes if the command exits with this code.
fails_with() {
    expected=$1
    shift
    "$@"
    got=$?
    [ "$got" = "$expected" ] || { echo "exit code $got, not $expected"; return 1; }
}

# column PROCESS N: prints one column of the status table.
column() {
    tm status "$1" | awk -v name="$1" -v n="$2" '$1 == name { print $n }'
}

state_is() {
    [ "$(column "$1" 2)" = "$2" ]
}

# replaced PROCESS PID: passes if the process runs with another pid.
replaced() {
    state_is "$1" RUNNING && [ "$(column "$1" 3)" != "$2" ]
}

no_zombies() {
    ! grep -hE '^State:.Z' /proc/[0-9]*/status 2>/dev/null
}

gone() {
    ! [ -d "/proc/$1" ]
}

# finish MORE: prints the plan, including MORE checks that other scripts print later.
finish() {
    say "1..$((number + ${1:-0}))"
}
