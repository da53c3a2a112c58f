// The search of the site runs in a worker, which browsers refuse to pages that are opened from a disk. There it runs in
// a hidden frame instead, with what a worker has: messages to and from the page, and scripts to import.
if (location.protocol === "file:") {
  window.Worker = class extends EventTarget {
    constructor(url) {
      super();
      const frame = document.createElement("iframe");
      frame.hidden = true;
      document.body.append(frame);
      this.inner = frame.contentWindow;
      const base = new URL(url, document.baseURI);
      const load = (place) =>
        new Promise((done, failed) => {
          const script = this.inner.document.createElement("script");
          Object.assign(script, { src: new URL(place, base), onload: done, onerror: failed });
          this.inner.document.head.append(script);
        });
      this.inner.postMessage = (data) => this.dispatchEvent(new MessageEvent("message", { data }));
      this.inner.importScripts = async (...places) => {
        for (const place of places) await load(place);
      };
      this.ready = load(base);
    }
    async postMessage(data) {
      await this.ready;
      this.inner.dispatchEvent(new MessageEvent("message", { data }));
    }
    terminate() {}
  };
}
