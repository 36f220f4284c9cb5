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
    this.rate = 1;
    this.timer = setInterval(() => this.steer(), 100);
  }

  get leader() {
    return this.panes[0];
  }

  /** The followers that can be held to the leader's time. */
  get followers() {
    return this.panes.slice(1).filter((p) => this.offset(p) !== undefined);
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
    if (!pane.live && !leader.live) return 0;
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
    const followers = this.followers;
    leader.video.currentTime = time;
    for (const p of followers) p.video.currentTime = time + (p.live || leader.live ? p.video.currentTime + step - time : 0);
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
      if (together && !ready) p.video.pause(); // whoever is ahead waits
      else if (p.video.paused && !p.video.ended) p.video.play().catch(() => {}); // a browser may want a gesture first; the button then says so
    }
    leader.video.playbackRate = this.rate;
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
