// Package testsphere draws equirectangular video of a world that doesn't exist: even in
// all directions but for a smooth sky and rough ground, so that no projection is
// favoured by where things are. Tests and measurements need such content, of any
// size, and the same everywhere.
package testsphere

import (
	"math"
	"sync"
)

// Scene says what the world is like.
type Scene struct {
	Width   int     // pixels, a multiple of 4; the height is half of it
	Octaves int     // of detail, each of half the size: 5 is soft; at 9 a width of 2048 has detail in every pixel
	Grain   float64 // of the camera's sensor: standard deviation in steps of 256
}

type vector struct{ x, y, z float64 }

// Frame draws the scene at a time in seconds, as yuv420p: the camera drifts, and
// four balls circle it near the horizon.
func (s Scene) Frame(seconds float64) []byte {
	w, h := s.Width, s.Width/2
	frame := make([]byte, w*h*3/2)
	luma, u, v := frame[:w*h], frame[w*h:w*h*5/4], frame[w*h*5/4:]
	camera := vector{7 + 0.15*seconds, 3, 5 + 0.1*seconds}
	tick := int64(math.Round(seconds * 1000))
	var rows sync.WaitGroup
	const workers = 4
	for k := range workers {
		rows.Go(func() {
			for y := 2 * k; y < h; y += 2 * workers {
				for dy := range 2 {
					s.row(luma[(y+dy)*w:(y+dy+1)*w], y+dy, camera, seconds, tick)
				}
				for x := 0; x < w; x += 2 {
					d := s.direction(float64(x)+1, float64(y)+1)
					p := vector{camera.x + d.x, camera.y + d.y, camera.z + d.z}
					u[y/2*w/2+x/2] = level(128 + 70*(noise(p, 2)-0.5))
					v[y/2*w/2+x/2] = level(128 + 70*(noise(vector{p.x + 50, p.y, p.z}, 2)-0.5))
				}
			}
		})
	}
	rows.Wait()
	return frame
}

// direction is that of a point of the frame, in pixels: x right, y up, z ahead.
func (s Scene) direction(x, y float64) vector {
	longitude := (x/float64(s.Width) - 0.5) * 2 * math.Pi
	latitude := (0.5 - 2*y/float64(s.Width)) * math.Pi
	sin, cos := math.Sincos(longitude)
	return vector{math.Cos(latitude) * sin, math.Sin(latitude), math.Cos(latitude) * cos}
}

func (s Scene) row(out []byte, y int, camera vector, seconds float64, tick int64) {
	for x := range out {
		d := s.direction(float64(x)+0.5, float64(y)+0.5)
		value := s.ground(d, camera)
		for k := range 4 {
			angle := 1.7*float64(k) + seconds*(0.4+0.2*float64(k))
			height := -0.2 + 0.12*float64(k)
			if d.x*math.Sin(angle)+d.y*height+d.z*math.Cos(angle) > 0.985 {
				value = 60 + 40*float64(k) + 50*noise(vector{d.x + seconds/10, d.y, d.z}, 90)
			}
		}
		if s.Grain > 0 {
			grain := unit(hash(int64(x), int64(y), tick)) + unit(hash(int64(x), int64(y), ^tick)) - 1 // a triangle, of deviation 1/sqrt(6)
			value += grain * s.Grain * math.Sqrt(6)
		}
		out[x] = level(value)
	}
}

// ground is fractal noise; the sky has little of its finer part.
func (s Scene) ground(d, camera vector) float64 {
	p := vector{camera.x + d.x, camera.y + d.y, camera.z + d.z}
	detail := 0.15 + 0.85/(1+math.Exp(12*(d.y-0.15)))
	sum, total, amplitude, frequency := 0.0, 0.0, 1.0, 2.0
	for octave := range s.Octaves {
		a := amplitude
		if octave >= 3 {
			a *= detail
		}
		sum += a * (noise(p, frequency) - 0.5)
		total += amplitude
		amplitude, frequency = amplitude*0.62, frequency*2.03
	}
	return 128 + sum/total*420
}

func level(x float64) byte { return byte(min(max(x, 16), 235)) }

// noise is smooth between the random values of a lattice, from 0 to 1.
func noise(p vector, frequency float64) float64 {
	x, y, z := p.x*frequency, p.y*frequency, p.z*frequency
	fx, fy, fz := math.Floor(x), math.Floor(y), math.Floor(z)
	i, j, k := int64(fx), int64(fy), int64(fz)
	u, v, w := ease(x-fx), ease(y-fy), ease(z-fz)
	plane := func(k int64) float64 {
		near := mix(unit(hash(i, j, k)), unit(hash(i+1, j, k)), u)
		far := mix(unit(hash(i, j+1, k)), unit(hash(i+1, j+1, k)), u)
		return mix(near, far, v)
	}
	return mix(plane(k), plane(k+1), w)
}

func ease(t float64) float64      { return t * t * (3 - 2*t) }
func mix(a, b, t float64) float64 { return a + (b-a)*t }
func unit(h uint64) float64       { return float64(h>>11) / (1 << 53) }

// hash spreads three numbers over 64 bits (the finalizer of splitmix64).
func hash(i, j, k int64) uint64 {
	h := uint64(i)*0x9e3779b97f4a7c15 ^ uint64(j)*0xbf58476d1ce4e5b9 ^ uint64(k)*0x94d049bb133111eb
	h = (h ^ h>>30) * 0xbf58476d1ce4e5b9
	h = (h ^ h>>27) * 0x94d049bb133111eb
	return h ^ h>>31
}
