// nginx-rtmp writes no EXT-X-PROGRAM-DATE-TIME. But told to (hls_fragment_naming system), it calls each fragment by when it
// began, in milliseconds; and with a time of day, streams can be held at the same moment.

const NAMED = /^(?:[^?#]*\/)?(?<ms>1\d{12})\.ts(?:[?#].*)?$/; // until 2033

/**
 * A media playlist with times of day, if its fragments' names tell them.
 * @param {string} playlist
 */
export function dated(playlist) {
  if (playlist.includes("#EXT-X-PROGRAM-DATE-TIME")) return playlist;
  return playlist.split("\n").map((line) => {
    const ms = NAMED.exec(line.trim())?.groups?.ms;
    return ms ? `#EXT-X-PROGRAM-DATE-TIME:${new Date(Number(ms)).toISOString()}\n${line}` : line;
  }).join("\n");
}
