cosign generate-key-pair
cosign sign --key cosign.key --tlog-upload=false --use-signing-config=false localhost:5000/shop/app:v1
cp cosign.pub examples/images/policy.yaml examples/images/pods.yaml /etc/bulkhead/manifests/
sed -i 's/^images: {mode: off}/images: {mode: enforce}/' /etc/bulkhead/config.yaml && systemctl restart bulkheadd
podman run --network pods --name evil localhost:5000/shop/evil:v1
