package media

import (
	"math"

	"github.com/cordonsip/cordon/media/clip"
)

// amplitude of the tone: about -9 dBm0, well inside the A-law range.
const amplitude = 8000

// encodeTone fills b with A-law samples of a sine; start is the number of the first sample, so that frames join without a click.
func encodeTone(b []byte, hz float64, start int) {
	for i := range b {
		b[i] = clip.ALaw(int16(amplitude * math.Sin(2*math.Pi*hz*float64(start+i)/8000)))
	}
}

// share is the part of the frame's energy that lies at hz, 0 to 1, by the Goertzel recursion.
func share(frame []byte, hz float64) float64 {
	k := 2 * math.Cos(2*math.Pi*hz/8000)
	var s1, s2, energy float64
	for _, b := range frame {
		x := float64(clip.FromALaw(b))
		s1, s2 = x+k*s1-s2, s1
		energy += x * x
	}
	if energy < float64(len(frame))*100*100 {
		return 0 // silence has no tone
	}
	power := s1*s1 + s2*s2 - k*s1*s2
	return 2 * power / (float64(len(frame)) * energy)
}
