package jsonout

import (
	"strings"
	"testing"
)

func TestLine(t *testing.T) {
	for _, c := range []struct {
		v    any
		want string
	}{
		{struct{}{}, `{"schema":1}`},
		{struct {
			A string `json:"a"`
		}{"<&>\n\xff"}, `{"schema":1,"a":"<&>\n\ufffd"}`},
		{&Failure{Error: "held", Code: 75, Message: "m"}, `{"schema":1,"error":"held","code":75,"message":"m"}`},
	} {
		line, err := Line(c.v)
		if err != nil || string(line) != c.want+"\n" {
			t.Errorf("%s, %v; want %s", line, err, c.want)
		}
	}
	for _, v := range []any{nil, 1, "x", []int{1}, make(chan int), (*Failure)(nil)} {
		if line, err := Line(v); err == nil || !strings.HasPrefix(err.Error(), "encode JSON: ") {
			t.Errorf("%T: %q, %v", v, line, err)
		}
	}
}
