// Ask again and again, and not while nobody looks.

/** Call at once, then after as many milliseconds as the call returns; null ends it. */
export function repeat(action) {
  let timer = 0;
  let stopped = false;
  const now = async () => {
    clearTimeout(timer);
    if (stopped || document.hidden) return;
    const wait = await action();
    clearTimeout(timer);
    if (wait === null) stop();
    else if (!stopped) timer = setTimeout(now, wait);
  };
  const stop = () => {
    stopped = true;
    clearTimeout(timer);
    document.removeEventListener("visibilitychange", now);
  };
  document.addEventListener("visibilitychange", now);
  now();
  return { now, stop };
}
