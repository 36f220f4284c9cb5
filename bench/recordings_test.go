package bench

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// camera is the recording that is made: a camera over a planet, as an encoder of live
// streams sends it (720p, 30 fps, 4.5 Mb/s, a keyframe every 2 s).
func camera(b *testing.B, minutes int) string {
	b.Helper()
	file := filepath.Join(made, fmt.Sprintf("camera-%dmin.flv", minutes))
	unlessMade(b, file, "ffmpeg -v error -nostdin -y -stream_loop -1 -i "+planet(b, 2048)+" -f lavfi -i sine=f=300:b=4:r=44100 -t "+fmt.Sprint(60*minutes)+
		" -vf fps=30,"+drift(1280, 720)+" -c:v libx264 -preset veryfast -b:v 4500k -maxrate 4500k -bufsize 9000k -g 60 -keyint_min 60 -sc_threshold 0 -c:a aac -b:a 128k -ac 2 -f flv $OUT")
	return file
}

// planet is six seconds of one: width by half of it, 30 fps.
func planet(b *testing.B, width int) string {
	b.Helper()
	file := filepath.Join(made, fmt.Sprintf("planet-%d.mkv", width))
	size := fmt.Sprintf("%dx%d", width, width/2)
	unlessMade(b, file, filepath.Join(bin, "testsphere")+fmt.Sprintf(" -width %d -fps 30 -frames 180 -octaves 8 | ", width)+
		"ffmpeg -v error -nostdin -y -f rawvideo -s "+size+" -pix_fmt yuv420p -r 30 -i pipe:0 -c:v libx264 -preset ultrafast -crf 12 -f matroska $OUT")
	return file
}

// drift is the filter of a camera that moves over a larger frame.
func drift(width, height int) string {
	return fmt.Sprintf("\"crop=%d:%d:x='(iw-ow)/2*(1+sin(n/97))':y='(ih-oh)/2*(1+cos(n/151))'\"", width, height)
}

// bars is a recording of moving bars and a tone.
func bars(b *testing.B, size string, fps, seconds int) string {
	b.Helper()
	file := filepath.Join(made, fmt.Sprintf("bars-%s-%dfps-%ds.flv", size, fps, seconds))
	unlessMade(b, file, fmt.Sprintf("ffmpeg -v error -nostdin -y -f lavfi -i testsrc2=s=%s:r=%d -f lavfi -i sine=f=440:r=44100 -t %d "+
		"-c:v libx264 -preset ultrafast -crf 28 -pix_fmt yuv420p -g %d -c:a aac -b:a 64k -f flv $OUT", size, fps, seconds, 2*fps))
	return file
}

// recordings are those to measure whole jobs with.
func recordings(b *testing.B) []string {
	b.Helper()
	if own := strings.Fields(*files); len(own) > 0 {
		return own
	}
	return []string{camera(b, *minutes)}
}

// unlessMade makes a file, whole or not at all, with a command that writes to $OUT.
func unlessMade(b *testing.B, file, command string) {
	b.Helper()
	if _, err := os.Stat(file); err == nil {
		return
	}
	fmt.Fprintln(os.Stderr, "making", filepath.Base(file))
	tmp := file + ".part"
	cmd := exec.CommandContext(context.WithoutCancel(b.Context()), "bash", "-c", "set -o pipefail; "+command)
	cmd.Env = append(os.Environ(), "OUT="+tmp)
	if out, err := cmd.CombinedOutput(); err != nil {
		b.Fatalf("make %s: %v\n%s", file, err, out)
	}
	if err := os.Rename(tmp, file); err != nil {
		b.Fatal(err)
	}
}
