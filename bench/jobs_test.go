package bench

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/s3"

	"afterlive.alt/internal/testenv"
	"afterlive.alt/ladder"
)

// What a whole job takes, each way against one ffmpeg process that makes the same
// renditions.
func BenchmarkJobs(b *testing.B) {
	for b.Loop() {
		for _, file := range recordings(b) {
			b.Log(file)
			folder := embedded(b, job{file: file, watched: true})
			plan := planOf(b, file, nil)
			plan.Ladders = folder.plan.Ladders // fitted to the recording
			raw := oneProcess(b, file, plan)
			const against = " / one ffmpeg process"
			compare := func(way string, o outcome, time, bits string) {
				subject := name(file) + ", " + way
				report(b, "whole job", subject, "time"+against, o.wall.Seconds()/raw.wall.Seconds(), time)
				report(b, "whole job", subject, "processor time"+against, o.cpu.Seconds()/raw.cpu.Seconds(), "")
				if o.bits > 0 {
					report(b, "whole job", subject, "bits"+against, float64(o.bits)/float64(raw.bits), bits)
				}
			}
			compare("embedded", folder, "", "<= 1.02")
			cloud := throughCloud(b, file)
			compare("through SQS and S3", cloud, "<= 1.00", "<= 1.02")
			report(b, "whole job", name(file)+", through SQS and S3", "the worker's own share of processor time", float64(cloud.own)/float64(cloud.cpu), "<= 0.02")
			report(b, "whole job", name(file)+", through SQS and S3", "bytes read of S3 / bytes of recording", float64(cloud.read)/float64(sizeOf(b, file)), mayRead(plan))
			report(b, "whole job", name(file)+", through SQS and S3", "memory / one ffmpeg process", float64(cloud.peak)/float64(raw.peak), "")
			compare("rung by rung", rungByRung(b, file, plan), "", "")
			shop := workshop(b, file)
			compare("workshop's shape", shop, "", "")
			report(b, "whole job", name(file)+", workshop's shape", "time / through SQS and S3", shop.wall.Seconds()/cloud.wall.Seconds(), ">= 2.5")
		}
	}
}

// mayRead is how much of a recording may be read, in parts of it: each chunk reads the audio from 6 s before it on, and the frames that lie between.
func mayRead(plan planned) string {
	d := plan.Rate.Time(plan.chunks[len(plan.chunks)-1].To)
	ends, _ := ladder.ChunkEnds(d)
	return fmt.Sprintf("<= %.2f", 1.02+6.5*float64(len(ends))/d.Seconds())
}

func sizeOf(b *testing.B, file string) int64 {
	b.Helper()
	info, err := os.Stat(file)
	if err != nil {
		b.Fatal(err)
	}
	return info.Size()
}

// throughCloud publishes through the SQS and the S3 that stand in for AWS's.
func throughCloud(b *testing.B, file string) outcome {
	b.Helper()
	c := testenv.Start(b)
	c.Bucket(b, "recordings", false)
	c.Bucket(b, "vod", true)
	counter := count(b, c)
	place := []string{
		"--queue", c.Queue(b, "tasks"), "--failed", c.Queue(b, "failed"), "--recordings", "s3://recordings", "--store", "s3://vod",
	}
	o := publish(b, job{file: file, profile: ladder.Auto, place: place, workers: alone, watched: true, there: func() *ladder.Asset {
		return fetchAsset(b, c.Endpoint+"/vod/vod/bench/asset.json")
	}})
	o.read = counter()
	return o
}

func fetchAsset(b *testing.B, url string) *ladder.Asset {
	b.Helper()
	request, err := http.NewRequestWithContext(b.Context(), http.MethodGet, url, http.NoBody)
	if err != nil {
		b.Fatal(err)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		b.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil || response.StatusCode != http.StatusOK {
		return nil
	}
	return parseAsset(body)
}

// workshop does what the worker of AWS's reference does, as it is described: download;
// one process for eight fixed rungs, whatever the source, padded to 16:9, and an audio track;
// one more for each to cut it into segments of 10 s; upload, one file after the other.
func workshop(b *testing.B, file string) outcome {
	b.Helper()
	c := testenv.Start(b)
	c.Bucket(b, "ingress", false)
	c.Bucket(b, "egress", false)
	put(b, c, "ingress", "recording.flv", file)
	began := time.Now()
	dir := b.TempDir()
	local := filepath.Join(dir, "recording.flv")
	get(b, c, "ingress", "recording.flv", local)
	encoded, out := ffmpeg(b, workshopArgs(local), nil)
	o := outcome{cpu: encoded.cpu, peak: encoded.peak}
	for _, r := range append(workshopRungs, workshopRung{name: "audio"}) {
		segments, folder := ffmpeg(b, []string{
			"-nostdin", "-i", filepath.Join(out, r.name+".mp4"), "-codec", "copy", "-f", "segment", "-segment_time", "10", "-segment_format", "mpegts", r.name + "-%05d.ts",
		}, nil)
		o.cpu += segments.cpu
		all, err := filepath.Glob(folder + "/*.ts")
		if err != nil {
			b.Fatal(err)
		}
		for _, s := range all {
			put(b, c, "egress", r.name+"/"+filepath.Base(s), s)
		}
	}
	o.wall = time.Since(began)
	return o
}

type workshopRung struct{ name, width, height, rate, preset string }

var workshopRungs = []workshopRung{
	{"180", "320", "180", "110k", "veryfast"}, {"240", "426", "240", "250k", "veryfast"}, {"360", "640", "360", "500k", "veryfast"},
	{"480", "854", "480", "1080k", "veryfast"}, {"720", "1280", "720", "2136k", "veryfast"}, {"1080", "1920", "1080", "3980k", "veryfast"},
	{"1440", "2560", "1440", "7952k", "ultrafast"}, {"2160", "3840", "2160", "16450k", "ultrafast"},
}

func workshopArgs(file string) []string {
	args := []string{"-nostdin", "-i", file}
	for _, r := range workshopRungs {
		args = append(args, "-map", "0:v", "-vf", "scale="+r.width+":"+r.height+":force_original_aspect_ratio=decrease,pad="+r.width+":"+r.height+":-1:-1",
			"-c:v", "libx264", "-preset", r.preset, "-pix_fmt", "yuv420p", "-b:v", r.rate, "-r", "30", "-g", "30", "-keyint_min", "30", "-sc_threshold", "0", r.name+".mp4")
	}
	return append(args, "-map", "0:a", "-c:a", "aac", "-b:a", "64k", "audio.mp4")
}

func put(b *testing.B, c *testenv.Cloud, bucket, key, file string) {
	b.Helper()
	f, err := os.Open(file)
	if err != nil {
		b.Fatal(err)
	}
	defer f.Close()
	if _, err := c.S3().PutObject(b.Context(), &s3.PutObjectInput{Bucket: &bucket, Key: &key, Body: f}); err != nil {
		b.Fatal(err)
	}
}

func get(b *testing.B, c *testenv.Cloud, bucket, key, file string) {
	b.Helper()
	object, err := c.S3().GetObject(context.WithoutCancel(b.Context()), &s3.GetObjectInput{Bucket: &bucket, Key: &key})
	if err != nil {
		b.Fatal(err)
	}
	defer object.Body.Close()
	f, err := os.Create(file)
	if err != nil {
		b.Fatal(err)
	}
	if _, err := io.Copy(f, object.Body); err != nil {
		b.Fatal(err)
	}
	if err := f.Close(); err != nil {
		b.Fatal(err)
	}
}
