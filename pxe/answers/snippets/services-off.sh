# Switches services off that this machine does not need; one that is not there is passed over.
# needs: services
for service in $services; do
    if command -v systemctl >/dev/null; then
        systemctl disable "$service" 2>/dev/null || true
        systemctl mask "$service" 2>/dev/null || true
    else
        chkconfig "$service" off 2>/dev/null || update-rc.d "$service" disable 2>/dev/null || true
    fi
done
