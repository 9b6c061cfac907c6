// Reloads the data periodically while the page is visible; a hidden tab sends no requests.
export class Refresh {
  constructor(load, seconds = 10) {
    this.load = load;
    this.seconds = seconds;
    this.at = 0;
    document.addEventListener("visibilitychange", () => this.#wake());
  }

  // Load now, and again after the pause; a load that is still running is aborted.
  async now() {
    clearTimeout(this.timer);
    this.running?.abort();
    const running = new AbortController();
    this.running = running;
    try {
      await this.load(running.signal);
    } catch (error) {
      if (error.name !== "AbortError") throw error;
    } finally {
      if (this.running === running) {
        this.at = Date.now();
        this.#plan();
      }
    }
  }

  #plan() {
    clearTimeout(this.timer);
    if (!document.hidden) this.timer = setTimeout(() => this.now(), this.seconds * 1000);
  }

  #wake() {
    if (document.hidden) clearTimeout(this.timer);
    else if (Date.now() - this.at >= this.seconds * 1000) this.now();
    else this.#plan();
  }
}
