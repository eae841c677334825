# Helpers of the checks inside the machine; sourced. Every check prints one line:
# `ok N - name` or `not ok N - name`; `finish` prints the plan, which the runner compares.

number=0

# say TEXT...: to the console, whatever stdout is.
say() {
    echo "$*" >/dev/console
}

# check NAME COMMAND...: passes when the command does; shows what it printed when not.
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

# eventually SECONDS COMMAND...: passes as soon as the command does.
eventually() {
    rounds=$(($1 * 10))
    shift
    while ! "$@"; do
        rounds=$((rounds - 1))
        [ "$rounds" -gt 0 ] || return 1
        usleep 100000
    done
}

# fails_with CODE COMMAND...: passes when the command ends with that very code.
fails_with() {
    expected=$1
    shift
    "$@"
    got=$?
    [ "$got" = "$expected" ] || { echo "exit code $got, not $expected"; return 1; }
}

# column PROCESS N: one column of the status table.
column() {
    tm status "$1" | awk -v name="$1" -v n="$2" '$1 == name { print $n }'
}

state_is() {
    [ "$(column "$1" 2)" = "$2" ]
}

# replaced PROCESS PID: it runs, with another pid than that.
replaced() {
    state_is "$1" RUNNING && [ "$(column "$1" 3)" != "$2" ]
}

no_zombies() {
    ! grep -hE '^State:.Z' /proc/[0-9]*/status 2>/dev/null
}

gone() {
    ! [ -d "/proc/$1" ]
}

# finish MORE: the plan, with the checks that others will still print.
finish() {
    say "1..$((number + ${1:-0}))"
}
