. /bin/check.sh

tm() {
    command tm -c /etc/taskmaster.yaml "$@"
}

answers() {
    tm status >/dev/null 2>&1 || [ $? = 3 ]
}

no_process_with() {
    ! grep -aqs "$1" /proc/[0-9]*/cmdline
}

tmd_pid() {
    pidof tmd | tr ' ' '\n' | head -n 1
}

other_tmd() {
    now=$(tmd_pid)
    [ -n "$now" ] && [ "$now" != "$1" ]
}

check "init starts tmd, which answers" eventually 30 answers
check "its program runs" eventually 10 state_is steady:0 RUNNING
check "tmd is not PID 1" sh -c '! grep -qx tmd /proc/1/comm'
check "a second tmd is refused" fails_with 1 tmd -c /etc/taskmaster.yaml

check "a program of another user exits" eventually 10 state_is ordinary:0 EXITED
check "it ran as that user" sh -c 'tm -c /etc/taskmaster.yaml logs ordinary | grep -q 65534'

old=$(column steady:0 3)
check "kill -9 from outside" kill -9 "$old"
check "it runs again with another pid" eventually 10 replaced steady:0 "$old"

check "stop a program whose descendant called setsid" tm stop tree
check "no process of it is left" eventually 5 no_process_with "[7]7777"

check "doctor" tm doctor
tm doctor 2>&1 | sed 's/^/# doctor: /' >/dev/console

mkdir -p /tmp/user
cat >/tmp/user/taskmaster.yaml <<'YAML'
programs:
  mine: {cmd: sleep 55555, starttime: 0}
YAML
chown -R 65534:65534 /tmp/user
as_user() {
    env -i PATH=/bin HOME=/tmp/user su -p -s /bin/sh nobody -c "$*"
}
check "an ordinary user has a daemon" \
    as_user tm up -d -c /tmp/user/taskmaster.yaml
check "the user stops it" as_user tm -c /tmp/user/taskmaster.yaml down
check "no process of it is left either" eventually 5 no_process_with "[5]5555"

old=$(tmd_pid)
check "kill -9 of tmd itself" kill -9 "$old"
check "init starts another" eventually 20 other_tmd "$old"
check "the new daemon replaces the stale socket and answers" eventually 20 answers
check "no zombie at the end" eventually 10 no_zombies
finish
poweroff -f
