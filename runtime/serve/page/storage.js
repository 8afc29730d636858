// What the browser remembers between visits; nothing where it does not allow that.

export function recall(key, otherwise) {
  try {
    return JSON.parse(localStorage.getItem(`dual-hrnet.${key}`)) ?? otherwise;
  } catch {
    return otherwise;
  }
}

export function remember(key, value) {
  try {
    localStorage.setItem(`dual-hrnet.${key}`, JSON.stringify(value));
  } catch {
    // private windows and full storage: asked again at the next visit
  }
}
