// What a model server in Go reads of a request: encoding/json matches names without regard to case, and the last of
// several wins (https://pkg.go.dev/encoding/json#Unmarshal).  One body per line, in base64; one answer per line.
package main

import (
	"bufio"
	"encoding/base64"
	"encoding/json"
	"os"
)

type named struct {
	Name string `json:"name"`
}

type tool struct {
	Type     string `json:"type"`
	Name     string `json:"name"`
	Function *named `json:"function"`
}

type options struct {
	NumPredict *float64 `json:"num_predict"`
}

type request struct {
	Model               string   `json:"model"`
	Stream              *bool    `json:"stream"`
	MaxTokens           *float64 `json:"max_tokens"`
	MaxCompletionTokens *float64 `json:"max_completion_tokens"`
	MaxOutputTokens     *float64 `json:"max_output_tokens"`
	NPredict            *float64 `json:"n_predict"`
	NumPredict          *float64 `json:"num_predict"`
	MaxNewTokens        *float64 `json:"max_new_tokens"`
	Options             *options `json:"options"`
	Tools               []tool   `json:"tools"`
	Functions           []named  `json:"functions"`
}

type reading struct {
	Refused bool        `json:"refused"`
	Model   string      `json:"model"`
	Stream  bool        `json:"stream"`
	Limits  limits      `json:"limits"`
	Tools   [][3]string `json:"tools"`
	Others  []string    `json:"functions"`
}

type limits map[string]*float64

func read(body []byte) reading {
	var asked request
	if err := json.Unmarshal(body, &asked); err != nil {
		return reading{Refused: true}
	}
	found := reading{Model: asked.Model, Tools: [][3]string{}, Others: []string{}}
	found.Stream = asked.Stream != nil && *asked.Stream
	found.Limits = limits{
		"max_tokens":            asked.MaxTokens,
		"max_completion_tokens": asked.MaxCompletionTokens,
		"max_output_tokens":     asked.MaxOutputTokens,
		"n_predict":             asked.NPredict,
		"num_predict":           asked.NumPredict,
		"max_new_tokens":        asked.MaxNewTokens,
	}
	if asked.Options != nil {
		found.Limits["options.num_predict"] = asked.Options.NumPredict
	}
	for _, each := range asked.Tools {
		function := ""
		if each.Function != nil {
			function = each.Function.Name
		}
		found.Tools = append(found.Tools, [3]string{function, each.Name, each.Type})
	}
	for _, each := range asked.Functions {
		found.Others = append(found.Others, each.Name)
	}
	return found
}

func main() {
	lines := bufio.NewReaderSize(os.Stdin, 1<<20)
	out := json.NewEncoder(os.Stdout)
	for {
		line, err := lines.ReadString('\n')
		if err != nil {
			return
		}
		body, err := base64.StdEncoding.DecodeString(line[:len(line)-1])
		if err != nil {
			panic(err)
		}
		if out.Encode(read(body)) != nil {
			return
		}
	}
}
