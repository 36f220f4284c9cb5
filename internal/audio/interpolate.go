package audio

import "math"

// Audio is slowed, hurried and brought to another rate by band-limited interpolation: each
// sample of the output is a sum of those around its place, weighted by a sinc under a
// Kaiser window (J. O. Smith, Digital Audio Resampling Home Page).
const (
	zeroCrossings = 16   // of the sinc on each side
	phases        = 512  // table entries between two zero crossings; the rest is linear
	beta          = 9.0  // of the window: aliases are 90 dB down
	passband      = 0.96 // of half the lower rate
)

var kernel = func() []float64 {
	table := make([]float64, zeroCrossings*phases+2)
	for i := range table {
		x := float64(i) / phases
		w := math.Max(0, 1-x*x/zeroCrossings/zeroCrossings)
		table[i] = bessel(beta*math.Sqrt(w)) / bessel(beta)
		if x >= zeroCrossings {
			table[i] = 0
		} else if i > 0 {
			table[i] *= math.Sin(math.Pi*x) / (math.Pi * x)
		}
	}
	return table
}()

// bessel is the modified Bessel function of the first kind, of order 0.
func bessel(x float64) float64 {
	sum, term := 1.0, 1.0
	for k := 1.0; term > sum*1e-12; k++ {
		term *= x * x / 4 / k / k
		sum += term
	}
	return sum
}

// cutoff is the share of the decoded audio's band that is kept, where the output's samples
// are step for one of it.
func cutoff(step float64) float64 {
	if step >= 1-2*0.02 && step <= 1+2*0.02 { // slowed or hurried: nothing audible folds over
		return 1
	}
	return passband * min(1, step)
}

// half is how many samples on each side have a weight.
func half(step float64) int { return int(math.Ceil(zeroCrossings/cutoff(step))) + 1 }

// interpolate makes samples of the output: the first at place start in the decoded, the
// others 1/step apart.
func interpolate(out, in []float32, start, step float64) {
	cut, reach := cutoff(step), half(step)
	for i := range len(out) / Channels {
		place := start + float64(i)/step
		whole := int(math.Floor(place))
		var left, right, sum float64
		for k := whole - reach + 1; k <= whole+reach; k++ {
			x := math.Abs(float64(k)-place) * cut * phases
			j := int(x)
			if k < 0 || k*Channels+1 >= len(in) || j >= len(kernel)-1 {
				continue
			}
			w := kernel[j] + (x-float64(j))*(kernel[j+1]-kernel[j])
			sum += w
			left += w * float64(in[k*Channels])
			right += w * float64(in[k*Channels+1])
		}
		if sum != 0 { // a constant stays what it is
			left, right = left/sum, right/sum
		}
		out[i*Channels], out[i*Channels+1] = float32(left), float32(right)
	}
}
