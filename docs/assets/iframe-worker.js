// Browsers start no worker from file://, and the search is one. From there this stands in for it:
// the script runs in a hidden frame, and messages go to and fro as they do with a worker.
if (location.protocol === "file:") {
  window.Worker = class extends EventTarget {
    constructor(url) {
      super();
      this.onmessage = null;
      const frame = document.createElement("iframe");
      frame.hidden = true;
      document.body.append(frame);
      const inside = frame.contentWindow;
      const page = frame.contentDocument;
      inside.postMessage = (data) => {
        const event = new MessageEvent("message", { data });
        this.dispatchEvent(event);
        if (this.onmessage) this.onmessage(event);
      };
      // Scripts that a worker asks for come one after the other, and before it goes on.
      inside.importScripts = (...urls) =>
        urls.reduce((before, each) => before.then(() => load(each)), Promise.resolve());
      const load = (source) =>
        new Promise((done, fail) => {
          const script = page.createElement("script");
          script.src = new URL(source, document.baseURI);
          script.onload = done;
          script.onerror = () => fail(new Error(`${source}: not loaded`));
          page.body.append(script);
        });
      this.frame = frame;
      this.ready = load(url);
    }

    postMessage(data) {
      this.ready.then(() => {
        const event = new MessageEvent("message", { data });
        const inside = this.frame.contentWindow;
        inside.dispatchEvent(event);
        if (inside.onmessage) inside.onmessage(event);
      });
    }

    terminate() {
      this.frame.remove();
    }
  };
}
