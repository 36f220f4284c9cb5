// Keeps several panes at the same moment. The first one leads; the others follow by
// playing a little faster or slower, and by seeking where that would take too long.

/** @import { Pane } from "./pane.js" */

const SEEK = 0.4; // s of drift from which a follower seeks
const STEER = 0.1; // the most by which it plays faster or slower

export class Sync {
  /** @param {Pane[]} panes */
  constructor(panes) {
    this.panes = panes;
    this.wanted = false; // to play
    this.rate = 1; // how fast
    this.blocked = false; // the browser wants a gesture first: a button asks for it
    this.timer = setInterval(() => this.steer(), 100);
  }

  /** The first that plays. */
  get leader() {
    return this.panes.find((p) => !p.dead) ?? this.panes[0];
  }

  /** The others that can be held to the leader's time, for as long as they last. */
  get followers() {
    return this.panes.filter((p) => p !== this.leader && !p.dead && !this.over(p) && this.offset(p) !== undefined);
  }

  /** Whether a pane has ended where the leader goes on. @param {Pane} pane */
  over(pane) {
    const { leader } = this;
    return pane !== leader && pane.video.ended && leader !== undefined && leader.video.currentTime >= pane.video.duration - SEEK;
  }

  /**
   * What a pane's clock must show more than the leader's, in seconds. Recordings of one
   * event share a clock; live streams do if they say the time of day, else each is just live.
   * @param {Pane} pane
   * @returns {number | undefined}
   */
  offset(pane) {
    const { leader } = this;
    if (!leader) return undefined;
    if (!pane.wasLive && !leader.wasLive) return 0;
    const [a, b] = [leader.hls?.playingDate?.getTime(), pane.hls?.playingDate?.getTime()];
    if (a === undefined || b === undefined) return undefined;
    return (a - b) / 1000 + pane.video.currentTime - leader.video.currentTime;
  }

  play() {
    this.wanted = true;
    this.steer();
  }

  pause() {
    this.wanted = false;
    for (const p of this.panes) p.video.pause();
    this.align();
  }

  /** @param {number} time */
  seek(time) {
    const { leader } = this;
    if (!leader) return;
    const step = time - leader.video.currentTime;
    const followers = this.panes.filter((p) => p !== leader && !p.dead && this.offset(p) !== undefined);
    leader.video.currentTime = time;
    for (const p of followers) p.video.currentTime = p.wasLive || leader.wasLive ? p.video.currentTime + step : time;
  }

  /** Brings paused followers to the leader's very frame. */
  align() {
    const { leader } = this;
    if (!leader) return;
    for (const p of this.followers) {
      const target = leader.video.currentTime + (this.offset(p) ?? 0);
      if (Math.abs(p.video.currentTime - target) > 0.001) p.video.currentTime = target;
    }
  }

  steer() {
    const { leader, followers } = this;
    if (!leader || !this.wanted) return;
    const group = [leader, ...followers];
    const ready = group.every((p) => p.video.readyState >= HTMLMediaElement.HAVE_FUTURE_DATA || p.video.ended);
    for (const p of this.panes) {
      const together = p === leader || followers.includes(p);
      if (p.dead || this.over(p)) continue;
      if (together && !ready) p.video.pause(); // whoever is ahead waits
      else if (p.video.paused && !p.video.ended) {
        p.video.play().then(() => (this.blocked = false), (/** @type {unknown} */ e) => {
          if (e instanceof DOMException && e.name === "NotAllowedError") this.blocked = true;
        });
      }
    }
    leader.video.playbackRate = this.rate; // it may have followed before
    for (const p of followers) {
      if (p.video.seeking || leader.video.seeking) continue;
      const drift = p.video.currentTime - leader.video.currentTime - (this.offset(p) ?? 0);
      if (Math.abs(drift) > SEEK) p.video.currentTime -= drift;
      p.video.playbackRate = this.rate * (1 - Math.max(-STEER, Math.min(STEER, drift)));
    }
  }

  close() {
    clearInterval(this.timer);
  }
}
