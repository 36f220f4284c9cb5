package job

import "strings"

// Reason says what a reason code of the failed queue means, and what an operator
// can do. The codes are stable; docs/operations.md has the same list.
type Reason struct{ Code, Means, Do string }

const askSource = "Look at the recording. If it plays elsewhere, convert it to FLV with H.264 and AAC and send that under another name (enqueue send FILE --as NAME); drop the task."

// Reasons that this package's users set themselves.
const (
	CrashLoop = "crash_loop" // workers that had the task died, and none said why
	// Redriven is the reason of what the queue's own redrive policy gave up: workers
	// that received it died, or never got so far as to say why.
	Redriven = "redriven"
)

// Reasons are all there are.
var Reasons = []Reason{
	{"not_flv", "the file is not FLV", askSource},
	{"no_video_keyframe", "it has video, but no keyframe from which to decode", askSource},
	{"unsupported_codec", "its video is not H.264, or its audio is of no kind that ffmpeg decodes", askSource},
	{"no_picture", "it, or its stream, spoke of video, and there is none in the recording", "nginx-rtmp records no video of enhanced RTMP (HEVC, AV1, or H.264 with a FourCC): let the encoder send plain H.264. If the audio alone will do: enqueue replay JOB --profile audio."},
	{"no_sound", "none of its audio can be decoded, or it has none and the profile publishes audio alone", "Let the encoder send AAC-LC. If the video alone will do, replay with a profile of your own that has accept: [no-audio]."},
	{"frames_missing", "more than 5 % of the frames cannot be decoded, or have no place of their own", "Look at the recording and at the network of its encoder. If what is left will do, replay with a profile of your own that has accept: [lost-frames]."},
	{"audio_missing", "more than 5 % of the audio cannot be decoded", "Likewise, with accept: [lost-audio]."},
	{"time_missing", "more than a tenth of the recording's bytes are damaged", "Look at the disk that it was recorded on. If what is left will do, replay with a profile of your own that has accept: [lost-time]."},
	{"zero_duration", "there is neither video nor audio in it", "Nothing was recorded: drop the task."},
	{"bad_codec_header", "its codec configuration or its structure is broken", askSource},
	{"too_large", "its video has more pixels than --max-pixels", "If the recording is to be trusted, raise --max-pixels on the workers and replay."},
	{"too_long", "it lasts longer than --max-duration", "If the recording is to be trusted, raise --max-duration on the workers and replay."},
	{"hls_limits", "size, frame rate or bit rate of a rendition would be beyond what players must support; seen before anything was encoded", "Replay it with a profile whose largest rung is smaller: enqueue replay JOB --profile NAME."},
	{"not_equirectangular", "a profile for spheres met video that isn't 2:1", "Replay it with another profile: enqueue replay JOB --profile flat."},
	{"no_recording", "the object is gone, or was replaced since it was planned", "Send the recording again, or drop the task."},
	{"wrong_bucket", "the message names a bucket that these workers don't read", "Set --recordings of the workers, or fix the sender, and replay."},
	{"name_taken", "its results would lie where those of another asset do", "Send the recording under another name (enqueue send FILE --as NAME); drop the task."},
	{"no_profile", "the message names a profile that these workers don't have", "Give the workers the profile (--profiles) and replay, or use another: enqueue replay JOB --profile auto."},
	{"no_plan", "the job's plan is gone, or the workers look in another store", "Set --store of the workers, and replay; or send the recording again, which plans it anew."},
	{"old_plan", "an older version planned the job, in a form that is no longer understood", "Drop the task, and send the recording again; it is planned anew."},
	{"no_such_task", "the job's plan has no such task", "Drop the task: it was sent by hand, or by a version that planned otherwise."},
	{"bad_message", "the message is not a task", "Correct the program that sent it, and drop it."},
	{"parts_differ", "parts of one job don't fit together: they were made by different versions of ffmpeg or of the worker", "Run one version on all workers. Remove jobs/JOB/ and vod/ASSET/JOB/, drop the task and send the recording again."},
	{"hls_rules", "the result would break a rule that players depend on", "If the profile is your own, hold its sizes and rates against the rule that the detail names, and send the recording with a better one; else report it. Nothing is lost."},
	{"segment_missing", "the store lacks a segment that a part names, or has it in another size", "Find out who removed it: a lifecycle rule, or somebody by hand. Remove the part that the detail names (jobs/JOB/parts/PART.json) and send the recording with --repair: that part alone is made anew."},
	{"ffmpeg_failed", "ffmpeg ended badly", "Read its last words; reproduce with enqueue input. Replay once that is mended."},
	{"ffmpeg_missing", "ffmpeg could not be started", "Install ffmpeg on the workers, and replay."},
	{"stalled", "ffmpeg made no progress for --stall", "Replay; if it stalls again, reproduce with enqueue input."},
	{"source_silent", "the recording's store sent nothing for minutes", "Look at the store and the network between, and replay."},
	{"too_slow", "ffmpeg took longer than --max-slowness times what it was to encode", "Give the workers more cores or a smaller profile, or raise --max-slowness, and replay."},
	{"scratch_full", "ffmpeg wrote more than --max-scratch, or the disk is full", "Give the workers more scratch space, and replay."},
	{"bad_output", "ffmpeg ended well, but what it wrote is not what was planned: the recording is not what it says it is, or ffmpeg reads it otherwise", "Read what differs and ffmpeg's last words; reproduce with enqueue input. If the recording plays elsewhere, convert it to FLV with H.264 and AAC and send that under another name (enqueue send FILE --as NAME)."},
	{"panic", "a fault of ours", "Report it, with the log; replay after an update."},
	{CrashLoop, "workers that had the task died without a word", "Look for out-of-memory kills; give the workers more memory, and replay."},
	{Redriven, "the queue's own redrive policy gave it up, and no worker said why", "As crash_loop."},
	{"error", "anything else, such as a store that failed for long", "Mend what the detail names, and replay."},
}

// Advice is what to do about a reason, with the command line's name where this runs.
func Advice(code string) string {
	for _, r := range Reasons {
		if r.Code == code {
			return strings.ReplaceAll(r.Do, "enqueue ", CLI+" ")
		}
	}
	return ""
}
