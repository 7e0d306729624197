# Security updates install themselves.
# takes: reboot=no
if command -v apt-get >/dev/null; then
    apt-get -y install unattended-upgrades
    printf 'APT::Periodic::Update-Package-Lists "1";\nAPT::Periodic::Unattended-Upgrade "1";\n' \
        > /etc/apt/apt.conf.d/20auto-upgrades
    [ "$reboot" != yes ] ||
        echo 'Unattended-Upgrade::Automatic-Reboot "true";' > /etc/apt/apt.conf.d/52auto-reboot
elif command -v dnf >/dev/null; then
    dnf -y install dnf-automatic
    sed -i 's/^apply_updates *=.*/apply_updates = yes/; s/^upgrade_type *=.*/upgrade_type = security/' \
        /etc/dnf/automatic.conf
    [ "$reboot" != yes ] || sed -i 's/^reboot *=.*/reboot = when-needed/' /etc/dnf/automatic.conf
    systemctl enable dnf-automatic.timer
elif command -v yum >/dev/null; then
    yum -y install yum-cron
    chkconfig yum-cron on
else
    echo "no package manager that updates itself" >&2
    exit 1
fi
