"""The native half of the thread pool and of the tape, as LLVM IR text.

A job is announced by one word, the *state*, which has the job's number in its upper half. Its tasks
are cut into blocks, and each thread has a *share* of them, a word of its own: the job's number and
how many blocks of the share are left. A thread takes the blocks of its share in order, by
compare-and-swap, then those of the others. So, from job to job, a thread works on the same part of
the memory, which its caches hold; a late worker never takes a block of another job, and nobody
waits for a worker that did not come: only blocks that were taken are waited for.
"""

from __future__ import annotations

import platform

MOST_SHARES = 256  # of a job: further threads begin with somebody else's
SHARES = 64  # the word from which they lie, each on a cache line of its own
POOL_WORDS = SHARES + 8 * MOST_SHARES
NAMES = ("run", "worker", "prepare", "shutdown", "wake", "spin")

# Words of the pool; what different threads write lies on different cache lines.
STATE, DONE, JOB, SLEEPERS, STOP, THREADS, BUSY, SPINS = 0, 8, 16, 24, 32, 33, 40, 34
PASSED = 41  # launches of few tasks that nobody was woken for
# The job, from word JOB on: function, its arguments, tasks, tasks in a block, blocks, shares.

_FUTEX = {"x86_64": 202, "AMD64": 202, "aarch64": 98, "arm64": 98}
_YIELD = {"x86_64": 24, "AMD64": 24, "aarch64": 124, "arm64": 124}
_X86 = "declare void @llvm.x86.sse2.pause()", "call void @llvm.x86.sse2.pause()"
_ARM = "declare void @llvm.aarch64.hint(i32)", "call void @llvm.aarch64.hint(i32 1)"
_PAUSE = {"x86_64": _X86, "AMD64": _X86, "aarch64": _ARM, "arm64": _ARM}


def native_text(system: str, machine: str | None = None) -> str:
    """The module for this machine. Without a futex the sleeping is left out; nobody starts workers
    there.
    """
    machine = machine or platform.machine()
    declared, pause = _PAUSE.get(machine, ("", ""))
    sleeps = system == "linux" and machine in _FUTEX
    call = "call i64 (i64, ...) @syscall(i64 {}"
    wait = wake = rest = "add i64 0, 0"
    if sleeps:
        futex = call.format(_FUTEX[machine])
        wait = f"{futex}, ptr %number.p, i32 128, i32 %number, ptr null, ptr null, i32 0)"
        wake = f"{futex}, ptr %number.p, i32 129, i32 2147483647, ptr null, ptr null, i32 0)"
        rest = f"{call.format(_YIELD[machine])})"
    text = declared + _TEXT
    for name, value in {"PAUSE": pause, "WAIT": wait, "WAKE": wake, "REST": rest}.items():
        text = text.replace(f"${name}", value)
    for name in ("STATE", "DONE", "JOB", "SLEEPERS", "STOP", "THREADS", "BUSY", "SPINS", "PASSED",
                 "SHARES"):  # fmt: skip
        text = text.replace(f"#{name}#", f"ptr %pool, i64 {globals()[name]}")
    text = text.replace("#MOST_SHARES#", str(MOST_SHARES))
    return text


_TEXT = """
declare i64 @syscall(i64, ...)

define void @spin(i64 %turns) nounwind {
entry:
  br label %loop
loop:
  %i = phi i64 [ 0, %entry ], [ %next, %loop ]
  $PAUSE
  %next = add i64 %i, 1
  %more = icmp slt i64 %next, %turns
  br i1 %more, label %loop, label %exit
exit:
  ret void
}

define void @prepare(ptr %pool, i64 %threads, i64 %spins) nounwind {
  %threads.p = getelementptr i64, #THREADS#
  %spins.p = getelementptr i64, #SPINS#
  %stop.p = getelementptr i64, #STOP#
  store i64 %spins, ptr %spins.p
  store i64 0, ptr %stop.p
  store atomic i64 %threads, ptr %threads.p release, align 8
  ret void
}

define void @wake(ptr %pool) nounwind {
  %number.p = getelementptr i32, ptr %pool, i64 1
  %sleepers.p = getelementptr i64, #SLEEPERS#
  %sleepers = load atomic i64, ptr %sleepers.p seq_cst, align 8
  %asleep = icmp ne i64 %sleepers, 0
  br i1 %asleep, label %call, label %exit
call:
  %woken = $WAKE
  br label %exit
exit:
  ret void
}

define void @shutdown(ptr %pool) nounwind {
  %threads.p = getelementptr i64, #THREADS#
  %stop.p = getelementptr i64, #STOP#
  %number.p = getelementptr i32, ptr %pool, i64 1
  store atomic i64 1, ptr %threads.p release, align 8
  store atomic i64 1, ptr %stop.p seq_cst, align 8
  %state = atomicrmw add ptr %pool, i64 4294967296 seq_cst
  %woken = $WAKE
  ret void
}

; Run what is left of job `number`, the thread's own share first, and answer how many blocks it was.
define internal i64 @work(ptr %pool, i64 %number, i64 %thread) nounwind {
entry:
  %job = getelementptr i64, #JOB#
  %first = getelementptr i64, #SHARES#
  %shares.p = getelementptr i64, ptr %job, i64 5
  %shares = load i64, ptr %shares.p
  br label %turn
turn:
  %n = phi i64 [ 0, %entry ], [ %n1, %empty ]
  %ran = phi i64 [ 0, %entry ], [ %now, %empty ]
  %more = icmp slt i64 %n, %shares
  br i1 %more, label %open, label %exit
open:
  %from = add i64 %thread, %n
  %owner = urem i64 %from, %shares
  %line = shl i64 %owner, 3
  %share.p = getelementptr i64, ptr %first, i64 %line
  %begun = load atomic i64, ptr %share.p seq_cst, align 8
  br label %look
look:
  %share = phi i64 [ %begun, %open ], [ %seen, %take ], [ %later, %run ]
  %now = phi i64 [ %ran, %open ], [ %now, %take ], [ %now1, %run ]
  %its = and i64 %share, -4294967296
  %same = icmp eq i64 %its, %number
  %left = and i64 %share, 4294967295
  %some = icmp ne i64 %left, 0
  %mine = and i1 %same, %some
  br i1 %mine, label %take, label %empty
take:
  ; where the exchange succeeds the job has not ended, so what is read here belongs to it
  %function = load ptr, ptr %job
  %args.p = getelementptr i64, ptr %job, i64 1
  %args = load ptr, ptr %args.p
  %tasks.p = getelementptr i64, ptr %job, i64 2
  %tasks = load i64, ptr %tasks.p
  %size.p = getelementptr i64, ptr %job, i64 3
  %size = load i64, ptr %size.p
  %blocks.p = getelementptr i64, ptr %job, i64 4
  %blocks = load i64, ptr %blocks.p
  %less = sub i64 %share, 1
  %swap = cmpxchg ptr %share.p, i64 %share, i64 %less seq_cst seq_cst
  %seen = extractvalue { i64, i1 } %swap, 0
  %taken = extractvalue { i64, i1 } %swap, 1
  br i1 %taken, label %run, label %look
run:
  %next = add i64 %owner, 1
  %upto = mul i64 %next, %blocks
  %past = udiv i64 %upto, %shares
  %block = sub i64 %past, %left
  %begin = mul i64 %block, %size
  %full = add i64 %begin, %size
  %short = icmp slt i64 %tasks, %full
  %end = select i1 %short, i64 %tasks, i64 %full
  call void %function(ptr %args, i64 %begin, i64 %end, i64 %thread)
  %now1 = add i64 %now, 1
  %later = load atomic i64, ptr %share.p seq_cst, align 8
  br label %look
empty:
  %n1 = add i64 %n, 1
  br label %turn
exit:
  ret i64 %ran
}

define void @worker(ptr %pool, i64 %thread) nounwind {
entry:
  %number.p = getelementptr i32, ptr %pool, i64 1
  %sleepers.p = getelementptr i64, #SLEEPERS#
  %stop.p = getelementptr i64, #STOP#
  %spins.p = getelementptr i64, #SPINS#
  %spins = load i64, ptr %spins.p
  %done.p = getelementptr i64, #DONE#
  br label %wait
wait:
  %known = phi i64 [ 0, %entry ], [ %state, %go ], [ %known, %sleep ]
  br label %spin
spin:
  %turn = phi i64 [ 0, %wait ], [ %next, %again ]
  %state = load atomic i64, ptr %pool seq_cst, align 8
  %fresh = icmp ne i64 %state, %known
  br i1 %fresh, label %go, label %idle
go:
  %ran = call i64 @work(ptr %pool, i64 %state, i64 %thread)
  %done = atomicrmw add ptr %done.p, i64 %ran seq_cst
  br label %wait
idle:
  %stop = load atomic i64, ptr %stop.p seq_cst, align 8
  %over = icmp ne i64 %stop, 0
  br i1 %over, label %exit, label %stay
stay:
  %next = add i64 %turn, 1
  %tired = icmp sgt i64 %next, %spins
  br i1 %tired, label %sleep, label %again
again:
  $PAUSE
  br label %spin
sleep:
  %wide = lshr i64 %state, 32
  %number = trunc i64 %wide to i32
  %in = atomicrmw add ptr %sleepers.p, i64 1 seq_cst
  %slept = $WAIT
  %out = atomicrmw sub ptr %sleepers.p, i64 1 seq_cst
  br label %wait
exit:
  ret void
}

define internal void @parallel(ptr %pool, ptr %function, ptr %args, i64 %tasks) nounwind {
entry:
  %threads.p = getelementptr i64, #THREADS#
  %busy.p = getelementptr i64, #BUSY#
  %sleepers.p = getelementptr i64, #SLEEPERS#
  %threads = load atomic i64, ptr %threads.p acquire, align 8
  %several = icmp sgt i64 %threads, 1
  br i1 %several, label %worth, label %inline
worth:
  ; to wake a sleeper costs as much as a few tasks do
  %sleepers = load atomic i64, ptr %sleepers.p acquire, align 8
  %asleep = icmp ne i64 %sleepers, 0
  %few = icmp slt i64 %tasks, 6
  %cheap = and i1 %asleep, %few
  br i1 %cheap, label %pass, label %enter
pass:
  ; but where such launches come again and again, workers that are up are worth it
  %passed.p = getelementptr i64, #PASSED#
  %passed = load i64, ptr %passed.p
  %passed1 = add i64 %passed, 1
  store i64 %passed1, ptr %passed.p
  %turn8 = and i64 %passed1, 7
  %now = icmp eq i64 %turn8, 0
  br i1 %now, label %enter, label %inline
enter:
  %swap = cmpxchg ptr %busy.p, i64 0, i64 1 seq_cst seq_cst
  %entered = extractvalue { i64, i1 } %swap, 1
  br i1 %entered, label %announce, label %inline
inline:
  call void %function(ptr %args, i64 0, i64 %tasks, i64 0)
  ret void
announce:
  %job = getelementptr i64, #JOB#
  %done.p = getelementptr i64, #DONE#
  %args.p = getelementptr i64, ptr %job, i64 1
  %tasks.p = getelementptr i64, ptr %job, i64 2
  %size.p = getelementptr i64, ptr %job, i64 3
  %blocks.p = getelementptr i64, ptr %job, i64 4
  ; about eight blocks a thread: few enough to be cheap, and one slow thread does not hold up all
  %parts = shl i64 %threads, 3
  %rough = udiv i64 %tasks, %parts
  %small = icmp ult i64 %rough, 1
  %size = select i1 %small, i64 1, i64 %rough
  %more = add i64 %tasks, %size
  %most = sub i64 %more, 1
  %blocks = udiv i64 %most, %size
  store ptr %function, ptr %job
  store ptr %args, ptr %args.p
  store i64 %tasks, ptr %tasks.p
  store i64 %size, ptr %size.p
  store i64 %blocks, ptr %blocks.p
  %shares.p = getelementptr i64, ptr %job, i64 5
  %many = icmp ult i64 #MOST_SHARES#, %threads
  %shares = select i1 %many, i64 #MOST_SHARES#, i64 %threads
  store i64 %shares, ptr %shares.p
  store i64 0, ptr %done.p
  %old = load atomic i64, ptr %pool seq_cst, align 8
  %number = add i64 %old, 4294967296
  %share0.p = getelementptr i64, #SHARES#
  br label %deal
deal:
  %owner = phi i64 [ 0, %announce ], [ %owner1, %deal ]
  %first = phi i64 [ 0, %announce ], [ %past, %deal ]
  %owner1 = add i64 %owner, 1
  %upto = mul i64 %owner1, %blocks
  %past = udiv i64 %upto, %shares
  %its = sub i64 %past, %first
  %share = or i64 %number, %its
  %line = shl i64 %owner, 3
  %share.p = getelementptr i64, ptr %share0.p, i64 %line
  store atomic i64 %share, ptr %share.p release, align 8
  %others = icmp ult i64 %owner1, %shares
  br i1 %others, label %deal, label %publish
publish:
  %was = atomicrmw xchg ptr %pool, i64 %number seq_cst
  call void @wake(ptr %pool)
  %mine = call i64 @work(ptr %pool, i64 %number, i64 0)
  %theirs = sub i64 %blocks, %mine
  br label %join
join:
  %turn = phi i64 [ 0, %publish ], [ %next, %again ], [ 0, %rest ]
  %done = load atomic i64, ptr %done.p seq_cst, align 8
  %all = icmp eq i64 %done, %theirs
  br i1 %all, label %leave, label %stay
stay:
  %next = add i64 %turn, 1
  %long = icmp sgt i64 %next, 4000
  br i1 %long, label %rest, label %again
again:
  $PAUSE
  br label %join
rest:
  %rested = $REST
  br label %join
leave:
  store atomic i64 0, ptr %busy.p release, align 8
  ret void
}

; The words of a launch: frame[slot] + addend each.
define internal void @resolve(ptr %launch, ptr %frame, ptr %args) nounwind {
entry:
  %count.p = getelementptr i64, ptr %launch, i64 1
  %count = load i64, ptr %count.p
  %words = getelementptr i64, ptr %launch, i64 4
  br label %next
next:
  %w = phi i64 [ 0, %entry ], [ %w1, %word ]
  %more = icmp slt i64 %w, %count
  br i1 %more, label %word, label %exit
word:
  %place = shl i64 %w, 1
  %slot.p = getelementptr i64, ptr %words, i64 %place
  %slot = load i64, ptr %slot.p
  %addend.p = getelementptr i64, ptr %slot.p, i64 1
  %addend = load i64, ptr %addend.p
  %held.p = getelementptr i64, ptr %frame, i64 %slot
  %held = load i64, ptr %held.p
  %value = add i64 %held, %addend
  %arg.p = getelementptr i64, ptr %args, i64 %w
  store i64 %value, ptr %arg.p
  %w1 = add i64 %w, 1
  br label %next
exit:
  ret void
}

; Tasks of a group's launches, as a kernel. Its arguments: the group, the frame, the most words.
define internal void @member(ptr %args, i64 %begin, i64 %end, i64 %thread) nounwind {
entry:
  %group = load ptr, ptr %args
  %frame.p = getelementptr i64, ptr %args, i64 1
  %frame = load ptr, ptr %frame.p
  %most.p = getelementptr i64, ptr %args, i64 2
  %most = load i64, ptr %most.p
  %own = alloca i64, i64 %most, align 16
  br label %next
next:
  %n = phi i64 [ %begin, %entry ], [ %n1, %launch ]
  %more = icmp slt i64 %n, %end
  br i1 %more, label %launch, label %exit
launch:
  %twice = shl i64 %n, 1
  %entry.n = add i64 %twice, 4
  %offset.p = getelementptr i64, ptr %group, i64 %entry.n
  %offset = load i64, ptr %offset.p
  %task.p = getelementptr i64, ptr %offset.p, i64 1
  %task = load i64, ptr %task.p
  %past = add i64 %task, 1
  %this = getelementptr i64, ptr %group, i64 %offset
  %function = load ptr, ptr %this
  call void @resolve(ptr %this, ptr %frame, ptr %own)
  call void %function(ptr %own, i64 %task, i64 %past, i64 %thread)
  %n1 = add i64 %n, 1
  br label %next
exit:
  ret void
}

define i64 @run(ptr %tape, ptr %frame) nounwind {
entry:
  %launches = load i64, ptr %tape
  %most.p = getelementptr i64, ptr %tape, i64 1
  %most = load i64, ptr %most.p
  %args = alloca i64, i64 %most, align 16
  %members = alloca [3 x i64], align 16
  %members.frame = getelementptr i64, ptr %members, i64 1
  store ptr %frame, ptr %members.frame
  %members.most = getelementptr i64, ptr %members, i64 2
  store i64 %most, ptr %members.most
  %pool.p = getelementptr i64, ptr %tape, i64 2
  %pool = load ptr, ptr %pool.p
  %early.p = getelementptr i64, ptr %tape, i64 3
  %early = load i64, ptr %early.p
  %wanted = icmp ne i64 %early, 0
  br i1 %wanted, label %rouse, label %begin
rouse:
  ; sleepers get up while the first launches run
  call void @wake(ptr %pool)
  br label %begin
begin:
  %first = getelementptr i64, ptr %tape, i64 4
  %record.p = getelementptr i64, ptr %frame, i64 1
  %record = load ptr, ptr %record.p
  %watched = icmp ne ptr %record, null
  br label %next
next:
  %n = phi i64 [ 0, %begin ], [ %n1, %ran ], [ %past, %group ]
  %launch = phi ptr [ %first, %begin ], [ %following, %ran ], [ %behind, %group ]
  %more = icmp slt i64 %n, %launches
  br i1 %more, label %start, label %success
start:
  %n1 = add i64 %n, 1
  %function = load ptr, ptr %launch
  %count.p = getelementptr i64, ptr %launch, i64 1
  %count = load i64, ptr %count.p
  %together = icmp eq ptr %function, null
  br i1 %together, label %group, label %single
group:
  ; `count` launches that need nothing of each other: the tasks of all of them are those of a job
  store ptr %launch, ptr %members
  %jobs.p = getelementptr i64, ptr %launch, i64 3
  %jobs = load i64, ptr %jobs.p
  call void @parallel(ptr %pool, ptr @member, ptr %members, i64 %jobs)
  %past = add i64 %n, %count
  %span.p = getelementptr i64, ptr %launch, i64 2
  %span = load i64, ptr %span.p
  %behind = getelementptr i64, ptr %launch, i64 %span
  br label %next
single:
  %task.slot.p = getelementptr i64, ptr %launch, i64 2
  %task.slot = load i64, ptr %task.slot.p
  %task.addend.p = getelementptr i64, ptr %launch, i64 3
  %task.addend = load i64, ptr %task.addend.p
  %task.p = getelementptr i64, ptr %frame, i64 %task.slot
  %task = load i64, ptr %task.p
  %tasks = add i64 %task, %task.addend
  call void @resolve(ptr %launch, ptr %frame, ptr %args)
  %double = shl i64 %count, 1
  %length = add i64 %double, 4
  %following = getelementptr i64, ptr %launch, i64 %length
  %one = icmp eq i64 %tasks, 1
  br i1 %one, label %alone, label %several
alone:
  call void %function(ptr %args, i64 0, i64 1, i64 0)
  br label %check
several:
  %none = icmp slt i64 %tasks, 1
  br i1 %none, label %check, label %shared
shared:
  call void @parallel(ptr %pool, ptr %function, ptr %args, i64 %tasks)
  br label %check
check:
  br i1 %watched, label %look, label %ran
look:
  %code = load i64, ptr %record
  %bad = icmp ne i64 %code, 0
  br i1 %bad, label %failure, label %ran
ran:
  br label %next
failure:
  ret i64 %n1
success:
  ret i64 0
}
"""
