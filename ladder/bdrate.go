package ladder

import (
	"cmp"
	"errors"
	"math"
	"slices"
)

// RatePoint is one encoding: its bits per second, and its quality in dB.
type RatePoint struct{ Rate, Quality float64 }

// BDRate is how many percent more bits test takes than anchor at the same quality,
// averaged over the qualities that both reach (Bjøntegaard, VCEG-M33, in the form of
// the JCT-VC common test conditions, JCTVC-L1100: log10 of the rate as a piecewise
// cubic Hermite function of the quality). It is an error if either has fewer than
// two points, if more bits don't give more quality, or if no quality is common.
func BDRate(anchor, test []RatePoint) (percent float64, err error) {
	a, err := newCurve(anchor)
	if err != nil {
		return 0, err
	}
	b, err := newCurve(test)
	if err != nil {
		return 0, err
	}
	from, to := max(a.x[0], b.x[0]), min(a.x[len(a.x)-1], b.x[len(b.x)-1])
	if from >= to {
		return 0, errors.New("the curves have no quality in common")
	}
	difference := (b.integral(from, to) - a.integral(from, to)) / (to - from)
	return 100 * (math.Pow(10, difference) - 1), nil
}

// curve is log10(rate) over quality: points, and the slopes there.
type curve struct{ x, y, slope []float64 }

func newCurve(points []RatePoint) (*curve, error) {
	if len(points) < 2 {
		return nil, errors.New("a curve needs two points")
	}
	sorted := slices.SortedFunc(slices.Values(points), func(a, b RatePoint) int { return cmp.Compare(a.Rate, b.Rate) })
	var c curve
	for i, p := range sorted {
		if p.Rate <= 0 || (i > 0 && p.Quality <= sorted[i-1].Quality) {
			return nil, errors.New("more bits don't give more quality")
		}
		c.x, c.y = append(c.x, p.Quality), append(c.y, math.Log10(p.Rate))
	}
	c.slopes()
	return &c, nil
}

// slopes are those of Fritsch and Carlson (SIAM J. Numer. Anal. 17, 1980), which
// never make the curve turn back between points.
func (c *curve) slopes() {
	n := len(c.x)
	width, rise := make([]float64, n-1), make([]float64, n-1)
	for i := range n - 1 {
		width[i] = c.x[i+1] - c.x[i]
		rise[i] = (c.y[i+1] - c.y[i]) / width[i]
	}
	if n == 2 {
		c.slope = []float64{rise[0], rise[0]}
		return
	}
	c.slope = make([]float64, n)
	c.slope[0] = endSlope(width[0], width[1], rise[0], rise[1])
	c.slope[n-1] = endSlope(width[n-2], width[n-3], rise[n-2], rise[n-3])
	for i := 1; i < n-1; i++ {
		if rise[i-1]*rise[i] > 0 {
			a, b := 2*width[i]+width[i-1], width[i]+2*width[i-1]
			c.slope[i] = (a + b) / (a/rise[i-1] + b/rise[i])
		}
	}
}

// endSlope is a parabola's through the last three points, kept in bounds.
func endSlope(width, next, rise, nextRise float64) float64 {
	s := ((2*width+next)*rise - width*nextRise) / (width + next)
	switch {
	case s*rise <= 0:
		return 0
	case rise*nextRise < 0 && math.Abs(s) > 3*math.Abs(rise):
		return 3 * rise
	}
	return s
}

func (c *curve) integral(from, to float64) float64 {
	sum := 0.0
	for i := range len(c.x) - 1 {
		if a, b := max(from, c.x[i]), min(to, c.x[i+1]); a < b {
			sum += c.piece(i, b) - c.piece(i, a)
		}
	}
	return sum
}

// piece is the integral of piece i from its beginning to x.
func (c *curve) piece(i int, x float64) float64 {
	h := c.x[i+1] - c.x[i]
	t := (x - c.x[i]) / h
	t2, t3, t4 := t*t, t*t*t, t*t*t*t
	return h * (c.y[i]*(t-t3+t4/2) + c.y[i+1]*(t3-t4/2) +
		h*(c.slope[i]*(t2/2-2*t3/3+t4/4)+c.slope[i+1]*(t4/4-t3/3)))
}
