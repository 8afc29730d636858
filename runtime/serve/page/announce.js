// One line for everybody who cannot see that something changed, and for those who can.

let timer = 0;

/** Tell a line; as an error it stays until the next one, else for some seconds. */
export function announce(line, { error = false } = {}) {
  const told = document.getElementById("told");
  clearTimeout(timer);
  told.textContent = line;
  told.classList.toggle("error", error);
  told.hidden = false;
  if (!error) timer = setTimeout(() => (told.hidden = true), 5000);
}

/** Run something that may be refused; its error is told. undefined then. */
export async function attempt(action) {
  try {
    return await action();
  } catch (error) {
    if (error.name !== "AbortError" && error.status !== 401) announce(error.message, { error: true });
    return undefined;
  }
}
