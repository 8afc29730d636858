// Where the box wants a token: asked for, sent once, kept by the server's cookie.

import { get } from "./api.js";
import { tell, template } from "./dom.js";

export function showToken(place, accepted) {
  const { root, parts } = template("token");
  parts.form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const token = encodeURIComponent(parts.token.value.trim());
    try {
      await get(`/api/limits?token=${token}`);
      accepted();
    } catch (error) {
      tell(parts.error, error.message);
      parts.token.select();
    }
  });
  place.replaceChildren(root);
  parts.token.focus();
}
