"""The supervisor of process trees: a small program of its own, of the standard library alone.

Theory of operation
-------------------
    etl-run ──▶ keeper ──fork──▶ shim ──fork──▶ job ──▶ anything it starts
        ╰────── lifeline ─────────╯

The *keeper* (`__main__`) does nothing but fork shims: it is single-threaded, so forking is safe, and small, so it is
cheap. A *shim* runs one attempt at a time. It is a subreaper (prctl(2), PR_SET_CHILD_SUBREAPER): whatever a job
daemonizes or moves to a session of its own becomes the shim's child when its parent ends. So "kill my children until
the kernel says there are none (ECHILD)" ends the whole tree, however it was built, and nobody else's process.

The *lifeline* is a socket between runner and shim. Orders and stop requests go down, `started` and `ended` come up.
When the runner ends in any way the kernel breaks it, and the shim ends its job as if it had been told to; what it would
have reported it writes to the attempt's result file, and it reads the job's output on, so that a job which says
something while it cleans up is not killed by SIGPIPE. A shim whose tree is gone (ECHILD) is as good as new and takes
the next order: the same guarantee for one fork less.

The leader is left a zombie until its group was killed, so its number cannot belong to somebody else by then.
If a shim is killed, its tree becomes the keeper's, which kills it.
If the keeper is killed, shims go on; the runner starts another keeper when it needs one. Keeper and shims hold the
run's locks, so no other run begins before the last tree is gone. All of them ignore INT, TERM and HUP: the runner
decides. Nothing here imports the rest of etl-run.
"""
