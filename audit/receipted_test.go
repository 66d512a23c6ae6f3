package audit

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"
)

func TestReceipted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, err := Memory(testConfig())
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close(t.Context())
		add := func(ref string) {
			mustAppend(t, l, Receipt{CallRef: ref})
			time.Sleep(time.Second)
		}
		add("old")
		since := time.Now()
		for i := range 2 * receiptedStep {
			mustAppend(t, l, CallEnded{CallRef: fmt.Sprint("short", i)})
		}
		add("first")
		add("last")
		got, err := Receipted(t.Context(), l, since)
		if err != nil || len(got) != 2 || !got["first"] || !got["last"] {
			t.Errorf("%v, %v", got, err)
		}
	})
}
