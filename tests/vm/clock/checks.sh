. /bin/check.sh

tm() {
    command tm -c /etc/taskmaster.yaml "$@"
}

answers() {
    tm status >/dev/null 2>&1 || [ $? = 3 ]
}

# Seconds since boot, which setting the clock does not change.
monotonic() {
    cut -d. -f1 /proc/uptime
}

# within SECONDS COMMAND...: passes if the command succeeds in that time.
within() {
    limit=$1
    began=$(monotonic)
    shift
    "$@" || return 1
    took=$(($(monotonic) - began))
    [ "$took" -le "$limit" ] || { echo "took $took s"; return 1; }
}

uptime_of() {
    tm status "$1" --json | sed 's/.*"uptime_s":\([0-9]*\).*/\1/'
}

# Uptime is the time since the start, independent of the clock.
sane_uptime() {
    shown=$(uptime_of steady)
    real=$(($(monotonic) - steady_began))
    [ "$shown" -ge $((real - 3)) ] && [ "$shown" -le $((real + 3)) ] ||
        { echo "uptime $shown, but $real passed"; return 1; }
}

# started_at plus uptime is now, so started_at follows the clock.
sane_start() {
    started=$(tm status steady --json | sed 's/.*"started_at":"\([^"]*\)".*/\1/')
    stated=$(date -u -D '%Y-%m-%dT%H:%M:%S' -d "${started%.*}" +%s)
    sum=$((stated + $(uptime_of steady) - $(date +%s)))
    [ "$sum" -ge -3 ] && [ "$sum" -le 3 ] || { echo "$started: off by $sum s"; return 1; }
}

# fresh: the newest line has the current time.
fresh() {
    stamp=$(tail -n 1 /tmp/ticks | cut -d. -f1 | cut -d' ' -f1)
    stated=$(date -u -D '%Y-%m-%dT%H:%M:%S' -d "${stamp%Z}" +%s)
    off=$(($(date +%s) - stated))
    [ "$off" -ge -3 ] && [ "$off" -le 3 ] || { echo "$stamp: off by $off s"; return 1; }
}

fails_for_good() {
    fails_with 1 tm start failing
    state_is failing:0 FATAL
}

stops_by_force() {
    tm start stubborn && tm stop stubborn
}

ticks_on() {
    before=$(wc -l </tmp/ticks)
    eventually 5 more_ticks
}

more_ticks() {
    [ "$(wc -l </tmp/ticks)" -gt $((before + 5)) ]
}

check "init starts tmd, which answers" eventually 30 answers
steady_began=$(($(monotonic) - $(uptime_of steady)))
pid=$(column steady:0 3)
ticker=$(column ticker:0 3)

jump() {
    check "the clock is set $1" date -s "@$(($(date +%s) + $2))"
    check "$1: output continues" ticks_on
    check "$1: new lines have the new time" eventually 5 fresh
    check "$1: uptime is not affected" sane_uptime
    check "$1: started_at follows the new clock" sane_start
    check "$1: retries are on time" within 30 fails_for_good
    check "$1: SIGKILL follows after stoptime" within 30 stops_by_force
    check "$1: a timeout has its length" within 30 fails_with 124 \
        tm wait steady --for stopped --timeout 2s
    check "$1: no process was restarted" \
        test "$(column steady:0 3) $(column ticker:0 3)" = "$pid $ticker"
}

jump "an hour forward" 3600
jump "an hour back" -3600
jump "a year forward" 31536000
jump "a year back" -31536000

said_in_time() {
    eventually 30 grep -q "$1" "$2" || { cat "$2"; return 1; }
}

user_tm() {
    command tm --socket /tmp/user/tmd.sock --daemon-user nobody "$@"
}

user_pid() {
    user_tm status steady | awk '$1 == "steady:0" { print $3 }'
}

follows() {
    user_tm reload
    grep -q reload /tmp/events
}

user_runs() {
    pid=$(user_pid)
    [ -n "$pid" ] && [ "$pid" != - ] && [ "$pid" != "$1" ]
}

# Fill the system's table of open files. Root is exempt, so an ordinary user runs this daemon. It
# cannot accept clients meanwhile, so one connects before.
mkdir -p /tmp/user
cat >/tmp/user/taskmaster.yaml <<'YAML'
daemon: {socket: /tmp/user/tmd.sock}
programs:
  steady: {cmd: sleep 44444, starttime: 0, autorestart: always, startretries: 100}
YAML
chown -R 65534:65534 /tmp/user
check "an ordinary user has a daemon" env -i PATH=/bin HOME=/tmp/user \
    su -p -s /bin/sh nobody -c "tm up -d -c /tmp/user/taskmaster.yaml"
check "its program runs" eventually 30 user_runs none
old=$(user_pid)
user_tm events -f >/tmp/events 2>&1 &
check "a client follows events" eventually 30 follows
limit=$(cat /proc/sys/fs/file-max)
echo 10 >/proc/sys/fs/file-max
kill -9 "$old"
check "an event names ENFILE" said_in_time "Too many open files in system" /tmp/events
user_tm status >/tmp/waited 2>&1 &
echo "$limit" >/proc/sys/fs/file-max
check "its program restarts" eventually 30 user_runs "$old"
check "a client that connected meanwhile is served" said_in_time steady:0 /tmp/waited
check "down stops it" user_tm down
finish
poweroff -f
