package testenv

import (
	"hash/fnv"
	"os"
	"strconv"
	"testing"
)

// turns is how many parts the long tests are divided into.
const turns = 5

// InTurn skips a long test if its turn is another: "make test" runs a fifth of them each day, and all with TURN=all, as CI does. "go test" alone
// runs all. $AFTERLIVE_TEST_TURN is the number of the turn, from 0.
func InTurn(t testing.TB) {
	t.Helper()
	turn, err := strconv.Atoi(os.Getenv("AFTERLIVE_TEST_TURN"))
	if err != nil { // "all", or none
		return
	}
	hash := fnv.New32a()
	_, _ = hash.Write([]byte(t.Name())) // never fails
	if own := int(hash.Sum32() % turns); own != turn%turns {
		t.Skipf("a long test, whose turn is another: make test TURN=%d runs it", own)
	}
}
