"""The loop of a served city hears everything that threads and signals tell it, and at once."""

import asyncio
import os
import random
import signal
import threading
import time

from poorter.cli.loop import Loop, run

THREADS, CALLS = 8, 400


def test_nothing_that_threads_say_is_lost_or_late() -> None:
    late_s: list[float] = []

    async def main() -> None:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, Loop)

        def call(seed: int) -> None:
            dice = random.Random(seed)
            for _ in range(CALLS):
                began = time.perf_counter()
                loop.call_soon_threadsafe(lambda b=began: late_s.append(time.perf_counter() - b))
                if dice.random() < 0.2:
                    time.sleep(dice.random() * 0.002)  # so that the loop is asleep now and then

        threads = [threading.Thread(target=call, args=(n,)) for n in range(THREADS)]
        for thread in threads:
            thread.start()
        await asyncio.to_thread(lambda: [thread.join() for thread in threads])
        await asyncio.sleep(0.05)

    run(asyncio.wait_for(main(), 30))
    assert len(late_s) == THREADS * CALLS
    assert max(late_s) < 5


def test_a_sleeping_loop_is_woken_each_time() -> None:
    """One call at a time into a loop that waits for nothing else: a lost one would hang it."""

    async def main() -> int:
        loop = asyncio.get_running_loop()
        heard = 0
        for _ in range(300):
            future = loop.create_future()
            thread = threading.Thread(target=loop.call_soon_threadsafe, args=(future.set_result, 1))
            thread.start()
            heard += await asyncio.wait_for(future, 10)
            thread.join()
        return heard

    assert run(main()) == 300


def test_signals_wake_it() -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        for _ in range(20):
            told = asyncio.Event()
            loop.add_signal_handler(signal.SIGUSR1, told.set)
            loop.call_soon_threadsafe(lambda: None)
            os.kill(os.getpid(), signal.SIGUSR1)
            await asyncio.wait_for(told.wait(), 10)
        loop.remove_signal_handler(signal.SIGUSR1)

    run(main())
