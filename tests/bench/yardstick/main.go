// The yardstick: the same webhook as a Go team would write it in an afternoon, and no more than that.
//
// It has the standard library's server over TLS, structs with just the fields that are read, and the same rule and the
// same patch as the product. What the product checks, records and limits beside that is not here: whatever is as fast
// as this does more work in the same time.
package main

import (
	"encoding/json/v2"
	"flag"
	"io"
	"log"
	"net/http"
	"strconv"
	"strings"
)

type container struct {
	Name  string `json:"name"`
	Image string `json:"image"`
}

type named struct {
	Name string `json:"name"`
}

type pod struct {
	Metadata struct {
		Labels      map[string]string `json:"labels"`
		Annotations map[string]string `json:"annotations"`
	} `json:"metadata"`
	Spec struct {
		Containers          []container `json:"containers"`
		InitContainers      []container `json:"initContainers"`
		EphemeralContainers []container `json:"ephemeralContainers"`
		ImagePullSecrets    []named     `json:"imagePullSecrets"`
	} `json:"spec"`
}

type review struct {
	APIVersion string    `json:"apiVersion"`
	Kind       string    `json:"kind"`
	Request    *request  `json:"request,omitempty"`
	Response   *response `json:"response,omitempty"`
}

type request struct {
	UID       string `json:"uid"`
	Operation string `json:"operation"`
	Object    *pod   `json:"object"`
	OldObject *pod   `json:"oldObject"`
}

type response struct {
	UID       string `json:"uid"`
	Allowed   bool   `json:"allowed"`
	Patch     []byte `json:"patch,omitempty"`
	PatchType string `json:"patchType,omitempty"`
}

type operation struct {
	Op    string `json:"op"`
	Path  string `json:"path"`
	Value any    `json:"value"`
}

const (
	label      = "registry-webhook/enabled"
	annotation = "registry-webhook/original-images"
	secret     = "registry-webhook-pull"
)

var server = flag.String("server", "registry.example.com", "goes in front of an image that names no registry")

func qualified(image string) bool {
	first, _, slash := strings.Cut(image, "/")
	return slash && (strings.ContainsAny(first, ".:") || first == "localhost" || first != strings.ToLower(first))
}

func decide(r *request) []operation {
	var operations []operation
	if r.Object.Metadata.Labels[label] == "false" {
		return nil
	}
	before, originals, private := map[string]string{}, map[string]string{}, false
	visit := func(p *pod, see func(kind string, at int, c container)) {
		for at, c := range p.Spec.Containers {
			see("containers", at, c)
		}
		for at, c := range p.Spec.InitContainers {
			see("initContainers", at, c)
		}
		for at, c := range p.Spec.EphemeralContainers {
			see("ephemeralContainers", at, c)
		}
	}
	if r.OldObject != nil {
		visit(r.OldObject, func(kind string, _ int, c container) { before[kind+"/"+c.Name] = c.Image })
	}
	visit(r.Object, func(kind string, at int, c container) {
		if r.OldObject != nil && before[kind+"/"+c.Name] == c.Image {
			return
		}
		if qualified(c.Image) {
			private = private || strings.HasPrefix(c.Image, *server+"/")
			return
		}
		private, originals[c.Name] = true, c.Image
		path := "/spec/" + kind + "/" + strconv.Itoa(at) + "/image"
		operations = append(operations, operation{"replace", path, *server + "/" + c.Image})
	})
	if len(originals) > 0 {
		value, _ := json.Marshal(originals, json.Deterministic(true))
		if r.Object.Metadata.Annotations == nil {
			whole := map[string]string{annotation: string(value)}
			operations = append(operations, operation{"add", "/metadata/annotations", whole})
		} else {
			path := "/metadata/annotations/" + strings.ReplaceAll(annotation, "/", "~1")
			operations = append(operations, operation{"add", path, string(value)})
		}
	}
	if !private || r.OldObject != nil {
		return operations
	}
	entry := map[string]string{"name": secret}
	for _, present := range r.Object.Spec.ImagePullSecrets {
		if present.Name == secret {
			return operations
		}
	}
	if len(r.Object.Spec.ImagePullSecrets) == 0 {
		return append(operations, operation{"add", "/spec/imagePullSecrets", []any{entry}})
	}
	return append(operations, operation{"add", "/spec/imagePullSecrets/-", entry})
}

func mutate(w http.ResponseWriter, r *http.Request) {
	var asked review
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, 8<<20))
	if err == nil {
		err = json.Unmarshal(body, &asked)
	}
	if err != nil || asked.Request == nil || asked.Request.Object == nil {
		http.Error(w, "no review", http.StatusBadRequest)
		return
	}
	answer := &response{UID: asked.Request.UID, Allowed: true}
	if operations := decide(asked.Request); len(operations) > 0 {
		answer.Patch, _ = json.Marshal(operations)
		answer.PatchType = "JSONPatch"
	}
	w.Header().Set("Content-Type", "application/json")
	json.MarshalWrite(w, review{APIVersion: asked.APIVersion, Kind: asked.Kind, Response: answer})
}

func main() {
	address := flag.String("address", "127.0.0.1:0", "where to listen")
	certificate := flag.String("cert", "tls.crt", "certificate, PEM")
	key := flag.String("key", "tls.key", "key, PEM")
	flag.Parse()
	http.HandleFunc("POST /mutate", mutate)
	log.Fatal(http.ListenAndServeTLS(*address, *certificate, *key, nil))
}
