package pipeline

import (
	"encoding/binary"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"afterlive.alt/internal/testenv"
	"afterlive.alt/ladder"
)

// Signals in which a seam would be heard; the pure tone most of all.
var seamSources = map[string]string{
	"tone":  "0.3*sin(880*PI*t)",
	"sweep": "0.25*sin(2*PI*(100*t+40*t*t))+0.1*(random(0)-0.5)*lt(mod(t*3,1),0.03)",
	"music": "0.2*sin(2*PI*220*pow(2,floor(mod(t*4,12))/12)*t)*exp(-6*mod(t*4,1))+0.1*sin(2*PI*55*t)*exp(-2*mod(t,1))+0.05*sin(2*PI*3520*t)*exp(-20*mod(t*8,1))",
	"voice": "(0.3*sin(2*PI*130*t+3*sin(2*PI*5*t))+0.1*(random(1)-0.5))*max(0,sin(2*PI*1.7*t))*max(0,sin(2*PI*0.23*t))",
}

// Audio that was encoded in chunks is as good as that of one pass, and no seam is heard: at
// none is there a packet with more noise than around it. A click has 19 dB more and above.
func TestNoSeamIsHeard(t *testing.T) {
	testenv.InTurn(t)
	mediaHeavy(t)
	for n, tc := range []struct {
		name, rate string
		grows      bool
	}{{"tone", "44100", false}, {"sweep", "48000", false}, {"music", "44100", true}, {"voice", "44100", false}, {"tone", "48000", true}} {
		if !chosen(n, 2) {
			continue
		}
		t.Run(fmt.Sprint(tc.name, " grows ", tc.grows), func(t *testing.T) {
			t.Parallel()
			file := filepath.Join(t.TempDir(), "audio.flv")
			runFFmpeg(t, "-v", "error", "-nostdin", "-f", "lavfi", "-i", fmt.Sprintf("aevalsrc='%s':s=%s:d=26,pan=stereo|c0=c0|c1=c0", seamSources[tc.name], tc.rate),
				"-c:a", "aac", "-b:a", "256k", "-f", "flv", file)
			recording, err := os.ReadFile(file)
			must(t, err)
			var out outcome
			if tc.grows {
				out = publishGrowing(t, recording)
			} else {
				out, err = publish(t, recording, "")
			}
			must(t, err)
			if len(out.plan.Chunks) < 4 || len(out.asset.Missing) > 0 {
				t.Fatalf("%d chunks, missing %+v", len(out.plan.Chunks), out.asset.Missing)
			}
			truth := decodedAudio(t, file)
			chunked := noise(t, truth, decodedAudio(t, out.file(t, "audio/aac")))
			once := filepath.Join(t.TempDir(), "once.adts")
			runFFmpeg(t, "-v", "error", "-nostdin", "-i", file, "-c:a", "aac", "-b:a", "128k", once)
			one := noise(t, truth, decodedAudio(t, once))
			a, b := mean(chunked), mean(one)
			t.Logf("mean noise %.1f dBFS, of one pass %.1f", a, b)
			if a > b+0.5 {
				t.Errorf("mean noise %.1f dBFS, of one pass %.1f", a, b)
			}
			for _, c := range out.plan.Chunks[1:] {
				at := out.plan.Packet(c.From)
				if own, plain := seam(chunked, at), seam(one, at); own > max(4, plain) {
					t.Errorf("at packet %d there is %+.1f dB more noise than around it (one pass %+.1f)", at, own, plain)
				}
			}
		})
	}
}

// A click is found by what is said above to find none.
func TestAClickIsFound(t *testing.T) {
	even := slices.Repeat([]float64{1e-3}, 200)
	even[101] = 1e-2
	if got := seam(even, 100); math.Abs(got-20) > 1e-9 {
		t.Errorf("a click of 20 dB is one of %g", got)
	}
}

// decodedAudio are a file's samples, of the left channel.
func decodedAudio(t *testing.T, file string) (all []float64) {
	t.Helper()
	raw := runFFmpeg(t, "-v", "error", "-nostdin", "-i", file, "-map", "0:a", "-f", "f32le", "-ac", "2", "-")
	for i := 0; i+8 <= len(raw); i += 8 {
		all = append(all, float64(math.Float32frombits(binary.LittleEndian.Uint32(raw[i:]))))
	}
	return all
}

// noise is by how much samples differ from the truth, packet by packet (root mean square).
// Encoders begin with a packet of silence, which decoders may leave out.
func noise(t *testing.T, truth, got []float64) (all []float64) {
	t.Helper()
	best, least := 0, math.Inf(1)
	for _, shift := range []int{0, ladder.PacketSamples, 2 * ladder.PacketSamples} {
		sum := 0.0
		for i := 50_000; i < 100_000 && i+shift < len(got); i++ {
			off := got[i+shift] - truth[i]
			sum += off * off
		}
		if sum < least {
			best, least = shift, sum
		}
	}
	if len(got)-best < len(truth)-3*ladder.PacketSamples {
		t.Fatalf("%d samples of %d", len(got)-best, len(truth))
	}
	for i := ladder.PacketSamples; i+2*ladder.PacketSamples < min(len(truth), len(got)-best); i += ladder.PacketSamples {
		sum := 0.0
		for j := i; j < i+ladder.PacketSamples; j++ {
			off := got[j+best] - truth[j]
			sum += off * off
		}
		all = append(all, math.Sqrt(sum/ladder.PacketSamples))
	}
	return all
}

func mean(noise []float64) float64 {
	sum := 0.0
	for _, n := range noise {
		sum += n * n
	}
	return 10 * math.Log10(sum/float64(len(noise)))
}

// seam is by how many dB the loudest noise within 3 packets of one is above the loudest of
// the second around. What is below -80 dBFS is silence.
func seam(noise []float64, at int) float64 {
	loudest := func(from, to int) float64 { return slices.Max(noise[max(0, from):min(len(noise), to)]) }
	around := max(1e-4, loudest(at-43, at-3), loudest(at+4, at+43))
	return 20 * math.Log10(loudest(at-3, at+4)/around)
}
